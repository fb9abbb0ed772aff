"""The whole story through a client that nobody here wrote: issue, preview, revoke, refused, rejected.

The check of the list is written from docs/formats.md alone: a credential is dead if any of its
subjects was cut at a position above its own.
"""

import grpc
import jwt

from broker import AUDIENCE, Broker, refused


def main():
    broker = Broker()
    owners, revocations = broker.v1.owners_pb2, broker.v1.revocations_pb2
    standing = broker.v1.common_pb2.Standing
    reason = broker.v1.common_pb2.REVOCATION_REASON_CESSATION_OF_OPERATION
    administrator = broker.stub("Owners", "administrator")

    api = broker.token("payments/api", scopes=["entries:read"])
    settlement = broker.token("payments/settlement")
    svid = broker.token("payments/api", kind="CREDENTIAL_KIND_JWT_SVID")
    certificate, identity = broker.certificate("payments/api")
    through = broker.token("payments/api", identity=identity)
    other = broker.token("acme/reporting")
    of_payments = [api, settlement, svid, certificate, through]
    positions = [answer.issuance.position for answer in [*of_payments, other]]
    assert positions == sorted(set(positions)), positions
    # A list of before the revocation kills nobody.
    assert not any(dead(token.token, listed(broker)) for token in (api, settlement, svid, through, other))

    preview = administrator.PreviewRevocation(owners.PreviewRevocationRequest(owner="payments"))
    assert preview.living.total == len(of_payments), preview
    assert {count.name: count.count for count in preview.living.by_kind} == {"access-token": 3, "jwt-svid": 1, "certificate": 1}
    assert "ledger-api" in preview.living.downstreams

    # Names are matched exactly, and nothing is ended in a dry run or above a limit.
    revoke = lambda **fields: administrator.RevokeByOwner(owners.RevokeByOwnerRequest(**fields))
    with refused(grpc.StatusCode.NOT_FOUND, "NOT_FOUND"):
        revoke(owner="payment", reason=reason)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT"):
        revoke(owner="payments ", reason=reason)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT"):
        revoke(owner="payments")
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "MAX_AFFECTED_EXCEEDED"):
        revoke(owner="payments", reason=reason, max_affected=len(of_payments) - 1)
    rehearsed = revoke(owner="payments", reason=reason, dry_run=True)
    assert rehearsed.position == 0 and rehearsed.ended.total == len(of_payments)
    with refused(grpc.StatusCode.PERMISSION_DENIED, "POLICY_DENIED"):
        broker.stub("Owners", "acme/reporting").RevokeByOwner(owners.RevokeByOwnerRequest(owner="payments", reason=reason))

    revoked = revoke(owner="payments", reason=reason, note="contract ended", max_affected=len(of_payments))
    assert revoked.position > max(positions) and not revoked.repeated
    assert revoked.ended.total == len(of_payments)
    assert revoked.standing == standing.Value("STANDING_OFFBOARDING")

    # No new ones, with an identity from outside or with one of our certificates.
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "OWNER_NOT_ACTIVE"):
        broker.token("payments/api")
    with refused(grpc.StatusCode.UNAUTHENTICATED, "CERTIFICATE_REVOKED"):
        broker.token("payments/api", identity=identity)

    # No old ones, for whoever has the list.
    after = listed(broker)
    assert after["pos"] >= revoked.position
    assert all(dead(token.token, after) for token in (api, settlement, svid, through))
    assert not dead(other.token, after)
    broker.token("acme/reporting")

    again = revoke(owner="payments", reason=reason)
    assert again.repeated and again.position == revoked.position and again.ended.total == 0

    # Reinstating opens the owner, and revives nothing.
    administrator.Reinstate(owners.OwnersReinstateRequest(owner="payments", note="a new contract"))
    fresh = broker.token("payments/api")
    now = listed(broker)
    assert dead(api.token, now) and not dead(fresh.token, now)
    with refused(grpc.StatusCode.UNAUTHENTICATED, "CERTIFICATE_REVOKED"):
        broker.token("payments/api", identity=identity)

    # Over both ways the same is published.
    over_grpc = broker.stub("Revocations", "administrator").GetList(revocations.GetListRequest()).list
    assert claims(over_grpc)["cuts"] == claims(broker.fetch("/v1/revocations").decode())["cuts"]
    print(f"revoked at {revoked.position}: {len(of_payments)} dead, 1 of another owner alive")


def listed(broker):
    """The signed list, its signature checked with the key that it names."""
    text = broker.fetch("/v1/revocations").decode()
    header = jwt.get_unverified_header(text)
    assert header["typ"] == "curfew-revocations+jwt", header
    published = jwt.PyJWKSet.from_json(broker.fetch("/v1/keys").decode())
    return jwt.decode(text, published[header["kid"]], algorithms=["ES256"], options={"require": ["iss", "iat", "exp"]})


def claims(token):
    return jwt.decode(token, options={"verify_signature": False}, audience=AUDIENCE)


def dead(token, signed_list):
    binding = claims(token)["curfew"]
    subjects = {*binding["sub"], binding["pos"]}
    return any(cut["n"] in subjects and cut["p"] > binding["pos"] for cut in signed_list["cuts"])


main()
