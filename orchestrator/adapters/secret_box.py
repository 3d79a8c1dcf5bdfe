"""AES-256-GCM over keys from a file: the newest key seals, every key opens."""

import contextlib
import hashlib
import itertools
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from orchestrator.ports.secret_box import SealError

VERSION = b"\x01"
NONCE_BYTES = 12
NONCES = 1 << 8 * NONCE_BYTES
KEY_BYTES = 32
KEY_ID_BYTES = 4


class AesGcmBox:
    """The SecretBox of one data directory. Sealed bytes: version, key id, nonce, ciphertext and tag."""

    def __init__(self, keys: list[bytes]) -> None:
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        self._sealing = _key_id(keys[0])
        self._fingerprint_key = hashlib.sha256(b"fingerprint" + keys[-1]).digest()
        self._nonces = itertools.count(int.from_bytes(os.urandom(NONCE_BYTES), "big"))

    @property
    def key_ids(self) -> frozenset[bytes]:
        """Name the keys of the file."""
        return frozenset(self._ciphers)

    def seal(self, plain: bytes, context: str) -> bytes:
        """Encrypt under the newest key."""
        # Counted on from a random place, not drawn anew: a system call a row gives the interpreter away. That
        # two lives of a process, of 2^32 rows each, ever overlap among 2^96 has a chance of 2^-63.
        nonce = (next(self._nonces) % NONCES).to_bytes(NONCE_BYTES, "big")
        sealed = self._ciphers[self._sealing].encrypt(nonce, plain, context.encode())
        return VERSION + self._sealing + nonce + sealed

    def open(self, sealed: bytes, context: str) -> bytes:
        """Decrypt.

        Raises:
            SealError: Another key, another context, or changed bytes.
        """
        cipher = self._ciphers.get(key_id_of(sealed))
        if sealed[:1] != VERSION or cipher is None:
            raise SealError("sealed with a key that this data directory does not have")
        rest = sealed[1 + KEY_ID_BYTES :]
        try:
            return cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], context.encode())
        except InvalidTag:
            raise SealError("sealed bytes were changed, moved, or sealed with another key") from None

    def fingerprint(self, plain: bytes) -> bytes:
        """Digest under the oldest key, so that adding a key changes no fingerprint."""
        return hashlib.blake2b(plain, key=self._fingerprint_key, digest_size=32).digest()


def key_id_of(sealed: bytes) -> bytes:
    """Name the key that something is sealed with."""
    return sealed[1 : 1 + KEY_ID_BYTES]


def open_key_file(path: Path) -> AesGcmBox:
    """Read the keys (hex, one a line, newest first), or make the first one, readable by its owner only.

    Raises:
        ValueError: The file holds something else.
    """
    if not path.exists():
        _make_key_file(path)
    elif path.stat().st_mode & 0o077:
        path.chmod(0o600)
    return AesGcmBox(_read_keys(path))


def _make_key_file(path: Path) -> None:
    # Written aside and linked: another process sees either no file or a whole one.
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(os.urandom(KEY_BYTES).hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(aside)
    aside.unlink()
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    # Rows may be on disk before the name of the file that opens them is.
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read_keys(path: Path) -> list[bytes]:
    try:
        keys = [bytes.fromhex(line) for line in path.read_text().split()]
    except ValueError:
        keys = []
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        msg = f"{path} must hold encryption keys of {KEY_BYTES} bytes in hex, one a line"
        raise ValueError(msg)
    return keys


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"key id" + key).digest()[:KEY_ID_BYTES]
