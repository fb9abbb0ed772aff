"""PyJWT and a TLS client go through a rotation of the token key and of the issuer, and notice nothing:
keys that were fetched while the next one was announced verify what is signed before and after."""

import json
import time

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from broker import AUDIENCE, Broker, raises


def main():
    broker = Broker()
    v1 = broker.v1

    def rotate(purpose):
        """Announces the next key of a purpose; it signs by itself two seconds later."""
        return broker.stub("Keys", "administrator").Rotate(v1.keys_pb2.KeysRotateRequest(purpose=purpose))

    def jwks():
        return jwt.PyJWKSet.from_json(broker.fetch("/.well-known/jwks.json").decode())

    def sequence():
        return json.loads(broker.fetch("/v1/bundle"))["spiffe_sequence"]

    def bundle():
        return broker.stub("Trust", "administrator").GetBundle(v1.trust_pb2.GetBundleRequest())

    def verified(token, keys):
        kid = jwt.get_unverified_header(token)["kid"]
        claims = jwt.decode(token, keys[kid], algorithms=["ES256"], audience=AUDIENCE, issuer=issuer)
        assert claims["sub"] == "spiffe://example.org/payments/api"
        return kid

    issuer = bundle().issuer
    before, first = jwks(), sequence()
    old = broker.token("payments/api").token
    old_kid = verified(old, before)

    rotate("token")
    ahead, announced = jwks(), sequence()
    assert len(ahead.keys) == 2 and announced > first
    tokens = 0
    while verified(token := broker.token("payments/api").token, ahead) == old_kid:
        tokens += 1
    after, switched = jwks(), sequence()
    assert switched > announced and len(after.keys) == 2
    assert verified(old, after) == old_kid and verified(token, after) != old_kid, "the old one is kept"
    raises(KeyError, verified, token, before)

    # Who knows the broker by a file takes the next issuer in while it is announced.
    rotate("issuer")
    known = [x509.load_der_x509_certificate(der) for der in bundle().issuers]
    assert len(known) == 2
    broker.ca.write_bytes(b"".join(one.public_bytes(serialization.Encoding.PEM) for one in known))
    certificates = 0
    issuing, identities, leaves = None, [], []
    while issuing != known[1].subject:
        issued, identity = broker.certificate("payments/api")
        leaf = x509.load_der_x509_certificate(issued.chain[0])
        issuing = leaf.issuer
        authority = next(one for one in known if one.subject == issuing)
        leaf.verify_directly_issued_by(authority)
        identities, leaves = [*identities[:1], identity], [*leaves[:1], leaf]
        certificates += 1
    # A certificate of either issuer is one to come with.
    for identity in identities:
        assert broker.token("payments/api", identity=identity).token
    assert broker.fetch("/v1/keys")

    # The issuer that was rotated out tells what of it is revoked, and the next one does not.
    [old_leaf, new_leaf] = leaves
    assert (old_leaf.issuer, new_leaf.issuer) == (known[0].subject, known[1].subject)
    revocations = v1.revocations_pb2
    reason = v1.common_pb2.RevocationReason.Value("REVOCATION_REASON_SUPERSEDED")
    revoking = revocations.RevokeRequest(credential_id=f"{old_leaf.serial_number:032x}", reason=reason)
    broker.stub("Revocations", "administrator").Revoke(revoking)

    def crl(leaf):
        [point] = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        return x509.load_der_x509_crl(broker.fetch(point.full_name[0].value.removeprefix(broker.url)))

    end = time.monotonic() + 30
    while crl(old_leaf).get_revoked_certificate_by_serial_number(old_leaf.serial_number) is None:
        assert time.monotonic() < end, "not named within 30 s"
    assert crl(old_leaf).is_signature_valid(known[0].public_key()) and crl(new_leaf).is_signature_valid(known[1].public_key())
    assert crl(new_leaf).get_revoked_certificate_by_serial_number(old_leaf.serial_number) is None
    print(f"{tokens} tokens and {certificates} certificates on the way, and the next ones, all verify")


main()
