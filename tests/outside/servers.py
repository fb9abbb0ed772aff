"""nginx and haproxy with the sample configurations, on loopback, from a folder that goes."""

import shutil
import socket
import ssl
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

SAMPLES = Path(__file__).parents[2] / "docs/samples"


class Server:
    """A server that asks for client certificates."""

    def __init__(self, name, folder, command, reload):
        self.name, self.folder, self.reload_command = name, folder, reload
        self.process = subprocess.Popen(command)
        while not self.listens():
            assert self.process.poll() is None, f"{name} has ended: {self.process.returncode}"

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port()), timeout=1).close()
            return True
        except ConnectionRefusedError:
            return False

    def port(self):
        return int((self.folder / f"{self.name}.port").read_text())

    def accepts(self, identity):
        """Whether a request with this client certificate, on a new session, is answered with 200."""
        chain, key = identity
        files = [self.folder / f"client.{part}" for part in ("pem", "key")]
        for file, content in zip(files, (chain, key)):
            file.write_bytes(content)
        context = ssl.create_default_context(cafile=str(self.folder / "server.pem"))
        context.load_cert_chain(*map(str, files))
        try:
            with socket.create_connection(("127.0.0.1", self.port()), timeout=10) as tcp:
                with context.wrap_socket(tcp, server_hostname="localhost") as tls:
                    tls.sendall(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
                    return tls.recv(1024).split(b" ")[1:2] == [b"200"]
        except (ssl.SSLError, ConnectionError):
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)


def nginx(folder):
    program = located("nginx")
    file = configured(folder, "nginx", "nginx.conf")
    command = [program, "-p", str(folder), "-e", str(folder / "nginx.log"), "-c", str(file), "-g", "daemon off;"]
    return Server("nginx", folder, command, lambda _: [*command[:-2], "-s", "reload"])


def haproxy(folder):
    program = located("haproxy")
    file = configured(folder, "haproxy", "haproxy.cfg")
    # Reloaded by signal, as `systemctl reload haproxy` does it.
    return Server("haproxy", folder, [program, "-W", "-q", "-f", str(file)], lambda process: ["kill", "-USR2", str(process.pid)])


def configured(folder, name, sample):
    """The sample, for this folder and a free port, with a server certificate of its own."""
    certify(folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / f"{name}.port").write_text(str(port))
    text = (SAMPLES / sample).read_text()
    for there, here in (("/etc/mesh", str(folder)), ("8443", str(port))):
        assert there in text, f"{sample} does not name {there}"
        text = text.replace(there, here)
    file = folder / sample
    file.write_text(text)
    return file


def certify(folder):
    if (folder / "server.pem").exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(now - timedelta(minutes=1)).not_valid_after(now + timedelta(hours=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(certificate)
    (folder / "server.key").write_bytes(private)
    # haproxy takes both from one file.
    (folder / "server-and-key.pem").write_bytes(certificate + private)


def located(program):
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    assert found, f"{program} is missing: run the tests with tests/run"
    return found
