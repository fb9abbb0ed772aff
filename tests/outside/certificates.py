"""Our certificates before other judges: pkilint, OpenSSL, cryptography's verifier, the `spiffe` package."""

import json
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import verification
from spiffe import JwtBundle, JwtSvid, TrustDomain, X509Svid

from broker import AUDIENCE, Broker, raises

# pkilint takes every spiffe:// name for a malformed URI.
ALLOWED = {"pkix.invalid_uri_syntax"}


def main():
    broker = Broker()
    issued, (chain, key) = broker.certificate("payments/api")
    leaf, ca = (x509.load_der_x509_certificate(der) for der in issued.chain)
    assert f"{leaf.serial_number:032x}" == issued.issuance.credential_id
    assert ca.public_bytes(serialization.Encoding.PEM) == pem(broker.ca)

    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{name}.pem" for name in ("leaf", "ca")}
        files["leaf"].write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
        files["ca"].write_bytes(ca.public_bytes(serialization.Encoding.PEM))
        assert lint(files["leaf"]) <= ALLOWED
        assert lint(files["ca"]) <= ALLOWED
        for purpose in ("sslclient", "sslserver"):
            openssl("verify", "-x509_strict", "-purpose", purpose, "-CAfile", files["ca"], files["leaf"])
            # It is no authority.
            refused = openssl("verify", "-CAfile", files["leaf"], "-partial_chain", files["ca"], expect=2)
            assert "error" in refused

    store = verification.Store([ca])
    verified = verification.PolicyBuilder().store(store).build_client_verifier().verify(leaf, [])
    [name] = verified.subjects
    assert name.value == "spiffe://example.org/payments/api"
    late = datetime.now(timezone.utc) + timedelta(hours=1)
    expired = verification.PolicyBuilder().store(store).time(late).build_client_verifier()
    raises(verification.VerificationError, expired.verify, leaf, [])

    svid = X509Svid.parse(chain, key)
    assert str(svid.spiffe_id) == "spiffe://example.org/payments/api"
    domain = TrustDomain("example.org")
    bundle = JwtBundle.parse(domain, broker.fetch("/.well-known/jwks.json"))
    token = broker.token("payments/api", kind="CREDENTIAL_KIND_JWT_SVID").token
    svid = JwtSvid.parse_and_validate(token, bundle, {AUDIENCE})
    assert str(svid.spiffe_id) == "spiffe://example.org/payments/api"
    # An access token is not an SVID.
    access = broker.token("payments/api").token
    raises(Exception, JwtSvid.parse_and_validate, access, bundle, {AUDIENCE})

    published = json.loads(broker.fetch("/v1/bundle"))
    uses = sorted(key["use"] for key in published["keys"])
    assert uses == ["jwt-svid", "x509-svid"] and published["spiffe_sequence"] > 0
    print("pkilint, OpenSSL, cryptography and spiffe take leaf, chain and SVIDs")


def pem(path):
    return x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(serialization.Encoding.PEM)


def lint(certificate):
    """The codes of pkilint's findings, warnings and worse."""
    program = Path(sys.executable).parent / "lint_pkix_cert"
    command = [program, "lint", "--severity", "WARNING", "--format", "JSON", certificate]
    printed = subprocess.run(command, stdout=subprocess.PIPE, check=False).stdout
    assert printed, f"pkilint cannot read {certificate.name}"
    found = json.loads(printed)
    codes = {finding["code"] for result in found["results"] for finding in result["finding_descriptions"]}
    print(f"pkilint on {certificate.name}: {sorted(codes) or 'nothing'}")
    return codes


def openssl(*arguments, expect=0):
    ran = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert ran.returncode == expect, f"openssl {arguments}: {ran.returncode} {ran.stdout}{ran.stderr}"
    return ran.stdout + ran.stderr


main()
