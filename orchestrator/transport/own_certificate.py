"""A certificate that nobody signed, for ends that have each other's word over another way."""

import ssl
import tempfile
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_FROM, _UNTIL = datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
"""It ends with the process that made it: machines whose clocks are wrong take it, too."""


def own_tls(host: str) -> tuple[ssl.SSLContext, str]:
    """Make a certificate for an IP address: give what listens with it, and the certificate in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certify(host, key)
    pem = certificate.public_bytes(Encoding.PEM)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # The ssl module reads keys from files only.
    with tempfile.NamedTemporaryFile() as file:
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        Path(file.name).write_bytes(pem + secret)
        context.load_cert_chain(file.name)
    return context, pem.decode()


def tls_to(certificate: str) -> ssl.SSLContext:
    """Make what connects to the one who has a certificate (PEM), and to nobody else."""
    context = ssl.create_default_context(cadata=certificate)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def _certify(host: str, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, SHA256())
    )
