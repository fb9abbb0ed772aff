"""PyJWT holds our tokens against the published keys, and refuses what is to be refused."""

import base64
import json

import jwt

from broker import AUDIENCE, Broker, raises


def main():
    broker = Broker()
    bundle = broker.stub("Trust", "administrator").GetBundle(broker.v1.trust_pb2.GetBundleRequest())
    keys = jwt.PyJWKSet.from_json(broker.fetch("/.well-known/jwks.json").decode())
    discovery = json.loads(broker.fetch("/.well-known/openid-configuration"))
    assert discovery["issuer"] == bundle.issuer
    assert {key.algorithm_name for key in keys.keys} == {"ES256"}

    access = broker.token("payments/api", scopes=["entries:read", "entries:write"])
    svid = broker.token("payments/api", kind="CREDENTIAL_KIND_JWT_SVID")
    for issued, typ in ((access, "at+jwt"), (svid, "JWT")):
        token, issuance = issued.token, issued.issuance
        header = jwt.get_unverified_header(token)
        assert header == {"alg": "ES256", "typ": typ, "kid": header["kid"]}, header
        key = keys[header["kid"]]

        def check(token=token, key=key, **options):
            required = {"require": ["iss", "sub", "aud", "iat", "exp", "jti"], "verify_iat": "leeway" not in options}
            given = {"algorithms": ["ES256"], "audience": AUDIENCE, "issuer": bundle.issuer, "options": required, **options}
            return jwt.decode(token, key, **given)

        claims = check()
        assert claims["aud"] == AUDIENCE, "one audience, as a string"
        assert claims["sub"] == "spiffe://example.org/payments/api"
        assert claims["jti"] == issuance.credential_id
        assert claims["exp"] == issuance.expires_at.seconds and claims["exp"] - claims["iat"] == 120
        assert claims["cnf"] == {"x5t#S256": encoded(broker.thumbprint("payments/api"))}
        assert claims["curfew"]["env"] == "production" and claims["curfew"]["pos"] == issuance.position
        assert claims["jti"].startswith(f"{issuance.position:016x}")
        # Owner, workload, environment, lineage, and the one downstream.
        assert len(claims["curfew"]["sub"]) == 5 and "task" not in claims["curfew"]
        assert "nbf" not in claims

        raises(jwt.InvalidAudienceError, check, audience="https://elsewhere.example.org")
        raises(jwt.InvalidIssuerError, check, issuer="https://elsewhere.example.org")
        raises(jwt.ExpiredSignatureError, check, leeway=-3600)
        raises(KeyError, lambda: keys["another"])
        raises(jwt.InvalidAlgorithmError, check, with_header(token, alg="none"))
        raises(jwt.InvalidAlgorithmError, check, with_header(token, alg="HS256"))
        # typ and kid are signed too.
        other_typ = {"at+jwt": "JWT", "JWT": "at+jwt"}[typ]
        raises(jwt.InvalidSignatureError, check, with_header(token, typ=other_typ))
        raises(jwt.InvalidSignatureError, check, with_header(token, kid="another"))
        # Nothing but the token key signs tokens.
        everything = json.loads(broker.fetch("/v1/keys"))["keys"]
        others = [jwt.PyJWK(entry) for entry in everything if entry["kid"] != header["kid"] and entry.get("crv") == "P-256"]
        assert others, everything
        for other in others:
            raises(jwt.InvalidSignatureError, check, key=other)

    claims = jwt.decode(access.token, options={"verify_signature": False})
    assert claims["scope"] == "entries:read entries:write" and claims["client_id"] == claims["sub"]
    claims = jwt.decode(svid.token, options={"verify_signature": False})
    assert "scope" not in claims and "client_id" not in claims
    print("PyJWT takes both kinds of token, and refuses all their distortions")


def encoded(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def with_header(token, **changes):
    header, rest = token.split(".", 1)
    header = json.loads(base64.urlsafe_b64decode(header + "=="))
    return encoded(json.dumps({**header, **changes}).encode()) + "." + rest


main()
