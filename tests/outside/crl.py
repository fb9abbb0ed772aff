"""The CRL before other judges: OpenSSL, cryptography, pkilint; and TLS servers that are reloaded with it."""

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from servers import haproxy, nginx

from broker import Broker

REVOKED, CRL_EXPIRED, CRL_TO_COME, NO_CRL = "error 23 ", "error 12 ", "error 11 ", "error 3 "


def main():
    broker = Broker()
    issued, identity = broker.certificate("payments/api", seconds=3600)
    other, other_identity = broker.certificate("acme/reporting", seconds=3600)
    ca = x509.load_pem_x509_certificate(broker.ca.read_bytes())
    leaf, living = (x509.load_der_x509_certificate(one.chain[0]) for one in (issued, other))
    path = distribution_point(leaf).removeprefix(broker.url)
    assert path == distribution_point(living).removeprefix(broker.url) and path.endswith(".crl")

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "ca.pem").write_bytes(broker.ca.read_bytes())
        (folder / "leaf.pem").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
        (folder / "living.pem").write_bytes(living.public_bytes(serialization.Encoding.PEM))
        before = keep(broker, path, folder)
        assert before.is_signature_valid(ca.public_key()) and before.get_revoked_certificate_by_serial_number(leaf.serial_number) is None
        for name in ("leaf", "living"):
            assert NO_CRL in verify(folder, name, "-crl_check", crl=None, expect=2)
            verify(folder, name, "-crl_check")
            # As nginx and haproxy ask it: of the whole chain.
            verify(folder, name, "-crl_check_all", "-x509_strict")
        assert lint(folder / "crl.der") == set()

        servers = [nginx(folder), haproxy(folder)]
        try:
            for server in servers:
                assert server.accepts(identity) and server.accepts(other_identity), server.name
            revoked_at = time.time()
            broker.revoke_owner("payments", "KEY_COMPROMISE")
            after = until(lambda: keep(broker, path, folder), lambda crl: crl.get_revoked_certificate_by_serial_number(leaf.serial_number))
            print(f"named after {time.time() - revoked_at:.2f} s")
            for server in servers:
                # As the page says; each server has its own reload.
                (folder / "crl.etag").unlink(missing_ok=True)
                assert fetch(folder, broker.public + path, server.reload_command(server.process)) == 0
                until(lambda server=server: server.accepts(identity), lambda accepted: not accepted)
                until(lambda server=server: server.accepts(other_identity), bool)
                print(f"{server.name} refuses the revoked certificate, and takes the other")
        finally:
            for server in servers:
                server.stop()

        # From where the certificate says that it is; what listens there in this test is the broker too.
        (folder / "crl.etag").unlink()
        os.rename(folder / "crl.pem", folder / "crl.before")
        assert fetch(folder, None, ["true"], home=redirected(broker, folder)) == 0
        assert (folder / "crl.pem").exists(), "it was found by the certificate alone"

        # Nothing is replaced, and nobody reloaded, by what is not new or not the issuer's.
        current = (folder / "crl.pem").read_bytes()
        assert fetch(folder, broker.public + path, ["false"]) == 0
        (folder / "forged.der").write_bytes(forged(ca.subject))
        assert fetch(folder, (folder / "forged.der").as_uri(), ["touch", str(folder / "reloaded")]) == 1
        assert (folder / "crl.pem").read_bytes() == current and not (folder / "reloaded").exists()

        entry = after.get_revoked_certificate_by_serial_number(leaf.serial_number)
        assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason == x509.ReasonFlags.key_compromise
        assert entry.revocation_date_utc <= after.last_update_utc
        assert after.get_revoked_certificate_by_serial_number(living.serial_number) is None
        assert after.is_signature_valid(ca.public_key()) and after.issuer == leaf.issuer
        lifetime = (after.next_update_utc - after.last_update_utc).total_seconds()
        assert lifetime == 630, "ten minutes, and half of one that it is dated back"
        numbers = [crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for crl in (before, after)]
        assert numbers[0] < numbers[1]
        identifier = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        assert after.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == identifier
        assert {extension.oid.dotted_string for extension in after.extensions} == {"2.5.29.20", "2.5.29.35"}

        assert REVOKED in verify(folder, "leaf", "-crl_check", expect=2)
        verify(folder, "living", "-crl_check")
        end = int(after.next_update_utc.timestamp())
        verify(folder, "living", "-crl_check", "-attime", end - 1)
        assert CRL_EXPIRED in verify(folder, "living", "-crl_check", "-attime", end + 1, expect=2)
        # Clocks that are wrong: within what the CRL is good for nobody notices, and otherwise nobody gets in.
        made = int(after.last_update_utc.timestamp()) + 30
        for ahead in (-29, 60):
            verify(folder, "living", "-crl_check", "-attime", made + ahead)
            assert REVOKED in verify(folder, "leaf", "-crl_check", "-attime", made + ahead, expect=2)
        for ahead, error in ((-60, CRL_TO_COME), (-3600, CRL_TO_COME), (3600, CRL_EXPIRED)):
            for name in ("living", "leaf"):
                assert error in verify(folder, name, "-crl_check", "-attime", made + ahead, expect=2), ahead
        assert lint(folder / "crl.der") == set()
    print("OpenSSL, cryptography, pkilint, nginx and haproxy judge by the CRL")


def distribution_point(certificate):
    [point] = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    [name] = point.full_name
    return name.value


def keep(broker, path, folder):
    """Fetches the CRL, and keeps it in both forms."""
    der = broker.fetch(path)
    crl = x509.load_der_x509_crl(der)
    (folder / "crl.der").write_bytes(der)
    (folder / "crl.pem").write_bytes(crl.public_bytes(serialization.Encoding.PEM))
    return crl


def fetch(folder, url, reload, home=None):
    """The sample script; its exit code, which is that of the reload if there was one."""
    script = Path(__file__).parents[2] / "docs/samples/fetch-crl.sh"
    command = [script, folder / "leaf.pem", folder / "ca.pem", folder, *reload]
    told = {"CRL_URL": url} if url else {"CURL_HOME": str(home)}
    return subprocess.run(command, env={**os.environ, **told}, check=False).returncode


def redirected(broker, folder):
    """A home in which curl is told that the address in credentials is the one where the broker listens."""
    home = folder / "home"
    home.mkdir()
    (home / ".curlrc").write_text(f'connect-to = "{urlsplit(broker.url).netloc}:{urlsplit(broker.public).netloc}"\n')
    return home


def forged(issuer):
    """A CRL of that name, by somebody else."""
    now = datetime.now(timezone.utc)
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer).last_update(now).next_update(now + timedelta(hours=1))
    return builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def until(look, wanted, seconds=30):
    """Looks again until it sees what is wanted."""
    end = time.monotonic() + seconds
    while not wanted(seen := look()):
        assert time.monotonic() < end, f"not within {seconds} s"
    return seen


def verify(folder, name, *options, crl="crl.pem", expect=0):
    files = ["-CAfile", folder / "ca.pem", *([] if crl is None else ["-CRLfile", folder / crl])]
    command = ["openssl", "verify", *map(str, [*options, *files, folder / f"{name}.pem"])]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == expect, f"{command}: {ran.returncode} {ran.stdout}{ran.stderr}"
    return ran.stdout + ran.stderr


def lint(crl):
    """The codes of pkilint's findings, warnings and worse."""
    program = Path(sys.executable).parent / "lint_crl"
    command = [program, "lint", "-t", "CRL", "-p", "PKIX", "--severity", "WARNING", "--format", "JSON", crl]
    printed = subprocess.run(command, stdout=subprocess.PIPE, check=False).stdout
    assert printed, "pkilint cannot read the CRL"
    found = {finding["code"] for result in json.loads(printed)["results"] for finding in result["finding_descriptions"]}
    print(f"pkilint on the CRL: {sorted(found) or 'nothing'}")
    return found


main()
