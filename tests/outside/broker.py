"""A second client of the broker: Python, with stubs generated from proto/ as it runs.

Each script beside this one is called by tests/it/outside.rs with the path of a JSON file that says
where the broker is and who may call it. It prints what it found and exits with 0, or fails.
"""

import contextlib
import hashlib
import json
import ssl
import sys
import tempfile
import urllib.request
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_tools import protoc

AUDIENCE = "https://ledger.example.org"


def stubs(proto):
    """Compiles proto/ into a folder that goes with the process, and answers its modules by name."""
    folder = tempfile.TemporaryDirectory()
    files = sorted(str(path.relative_to(proto)) for path in (proto / "curfew/v1").glob("*.proto"))
    well_known = Path(protoc.__file__).parent / "_proto"
    arguments = ["protoc", f"-I{proto}", f"-I{well_known}", f"--python_out={folder.name}", f"--grpc_python_out={folder.name}"]
    assert protoc.main([*arguments, *files]) == 0, "protoc refused proto/"
    sys.path.insert(0, folder.name)
    package = __import__("curfew.v1", fromlist=["v1"])
    for file in files:
        stem = Path(file).stem
        for name in (f"{stem}_pb2", f"{stem}_pb2_grpc"):
            setattr(package, name, __import__(f"curfew.v1.{name}", fromlist=[name]))
    package.folder = folder
    return package


class Broker:
    """The broker, as several callers see it."""

    def __init__(self):
        world = json.loads(Path(sys.argv[1]).read_text())
        self.v1 = stubs(Path(world["proto"]))
        self.address = world["grpc"]
        self.public = world["public"]
        # What the URLs in credentials begin with; it is reached at `public`.
        self.url = world["url"]
        self.ca = Path(world["ca"])
        self.callers = {name: (Path(files["certificate"]), Path(files["key"])) for name, files in world["callers"].items()}

    def stub(self, service, caller, identity=None):
        """The stub of a service; `identity` is a PEM chain and key in place of the caller's files."""
        chain, key = identity or tuple(path.read_bytes() for path in self.callers[caller])
        credentials = grpc.ssl_channel_credentials(self.ca.read_bytes(), key, chain)
        channel = grpc.secure_channel(self.address, credentials)
        module = {"Credentials": "credentials", "Owners": "owners", "Revocations": "revocations", "Trust": "trust", "Tasks": "tasks", "Keys": "keys"}
        return getattr(getattr(self.v1, f"{module[service]}_pb2_grpc"), f"{service}Stub")(channel)

    def token(self, caller, kind="CREDENTIAL_KIND_ACCESS_TOKEN", identity=None, **fields):
        credentials = self.v1.credentials_pb2
        kind = self.v1.common_pb2.CredentialKind.Value(kind)
        request = {"kind": kind, "environment": "production", "audience": AUDIENCE, "ttl": Duration(seconds=120), **fields}
        return self.stub("Credentials", caller, identity).IssueToken(credentials.IssueTokenRequest(**request))

    def certificate(self, caller, identity=None, seconds=600):
        """Issues a certificate for a new key; answers the response, and chain and key as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        request = self.v1.credentials_pb2.IssueCertificateRequest(
            csr=csr.public_bytes(serialization.Encoding.DER), environment="production", ttl=Duration(seconds=seconds)
        )
        issued = self.stub("Credentials", caller, identity).IssueCertificate(request)
        chain = b"".join(
            x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM) for der in issued.chain
        )
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return issued, (chain, pem)

    def revoke_owner(self, owner, reason):
        reason = self.v1.common_pb2.RevocationReason.Value(f"REVOCATION_REASON_{reason}")
        request = self.v1.owners_pb2.RevokeByOwnerRequest(owner=owner, reason=reason)
        return self.stub("Owners", "administrator").RevokeByOwner(request)

    def fetch(self, path):
        """A document of the public listener."""
        context = ssl.create_default_context(cafile=str(self.ca))
        with urllib.request.urlopen(self.public + path, context=context, timeout=10) as answer:
            return answer.read()

    def thumbprint(self, caller):
        """SHA-256 of a caller's certificate, as `cnf` binds to it."""
        certificate = x509.load_pem_x509_certificate(self.callers[caller][0].read_bytes())
        return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).digest()


@contextlib.contextmanager
def refused(code, reason):
    """What happens inside is refused by the broker with this code and reason."""
    try:
        yield
    except grpc.RpcError as error:
        assert error.code() == code, f"{error.code()} instead of {code}: {error.details()}"
        assert error_info(error).reason == reason, f"{error_info(error).reason} instead of {reason}"
        return
    raise AssertionError(f"allowed, but {reason} was due")


def error_info(error):
    """google.rpc.ErrorInfo of a refusal."""
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    assert details, f"no details: {error.code()} {error.details()}"
    status = status_pb2.Status.FromString(details)
    assert status.message == error.details()
    found = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(found) for detail in status.details), "no ErrorInfo among the details"
    assert found.domain == "curfew"
    return found


def raises(kind, call, *arguments, **options):
    """The call fails in this way, and no other."""
    try:
        call(*arguments, **options)
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was due")
