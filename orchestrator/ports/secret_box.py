"""Encryption at rest."""

from typing import Protocol


class SealError(ValueError):
    """Sealed bytes do not open: another key, another context, or they were changed."""


class SecretBox(Protocol):
    """Seals bytes for the store. ``context`` binds them to their owner and column: bytes that were
    moved to another row do not open.
    """

    def seal(self, plain: bytes, context: str) -> bytes:
        """Encrypt."""

    def open(self, sealed: bytes, context: str) -> bytes:
        """Decrypt.

        Raises:
            SealError: Another key, another context, or changed bytes.
        """

    def fingerprint(self, plain: bytes) -> bytes:
        """Digest under the key: equal inputs match, and nobody without the key can guess one."""
