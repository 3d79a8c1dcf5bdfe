"""Certificates for localhost and an address, 127.0.0.1 by default, each its own authority."""

import datetime as dt
import ipaddress
import ssl
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that signs itself, and its key, in PEM."""

    certificate: str
    key: str

    @staticmethod
    @cache
    def made(address: str = "127.0.0.1") -> "Certificate":
        """Make one, once for each address."""
        key = ec.generate_private_key(ec.SECP256R1())
        pem = serialization.Encoding.PEM
        private = key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        return Certificate(_signed(key, address).public_bytes(pem).decode(), private)

    def write(self, directory: Path) -> tuple[Path, Path]:
        """Write both into files, and name them."""
        paths = directory / "gateway.crt", directory / "gateway.key"
        for path, text in zip(paths, (self.certificate, self.key), strict=True):
            path.write_text(text)
            path.chmod(0o600)
        return paths

    def server(self) -> ssl.SSLContext:
        """Make what the listening end needs."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        with tempfile.TemporaryDirectory() as directory:
            context.load_cert_chain(*self.write(Path(directory)))
        return context

    def client(self) -> ssl.SSLContext:
        """Make what the connecting end needs."""
        return ssl.create_default_context(cadata=self.certificate)


def _signed(key: ec.EllipticCurvePrivateKey, address: str) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a gateway")])
    begins = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(address))]
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + dt.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
