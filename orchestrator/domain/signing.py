"""Signatures on webhooks.

Sources: the published EZThrottle SDK's scheme (``t=…,v1=…``), and Standard Webhooks 1.0.0.
"""

import base64
import hmac
import re
from collections.abc import Sequence

from orchestrator.domain.ids import DeliveryId

SECRET_PREFIX = "whsec_"  # noqa: S105  # a public prefix, not a secret
_STANDARD = re.compile(SECRET_PREFIX + "([A-Za-z0-9+/]+)={0,2}")


def signature_headers(
    body: bytes, secrets: Sequence[str], delivery: DeliveryId, unix_s: int
) -> tuple[tuple[str, str], ...]:
    """Sign one attempt. ``secrets`` are in force, the primary first.

    Receivers that know one secret only go on working during a rotation: the published SDK keeps the
    last ``v1`` that it reads, so the old secret's stands last.
    """
    base = (("webhook-id", delivery), ("webhook-timestamp", str(unix_s)))
    if not secrets:
        return base
    own = ",".join(f"v1={_hex(secret, f'{unix_s}.'.encode() + body)}" for secret in secrets)
    standard = " ".join(
        f"v1,{_standard(secret, f'{delivery}.{unix_s}.'.encode() + body)}" for secret in secrets
    )
    return (*base, ("X-EZThrottle-Signature", f"t={unix_s},{own}"), ("webhook-signature", standard))


def secret_problem(secret: str) -> str | None:
    """Say why receivers would derive another key from a secret than is signed with here; None where all
    derive the same.
    """
    if not secret.startswith(SECRET_PREFIX) or _decoded(secret):
        return None
    return (
        f"begins with {SECRET_PREFIX}, so what follows must be base64 (of A-Z, a-z, 0-9, + and /): "
        "libraries read anything else each in its own way"
    )


def mask(secret: str) -> str:
    """Show enough of a secret to recognise it, and not more: first four, last three."""
    return f"{secret[:4]}****{secret[-3:]}"


def _hex(secret: str, signed: bytes) -> str:
    return hmac.digest(secret.encode(), signed, "sha256").hex()


def _standard(secret: str, signed: bytes) -> str:
    return base64.b64encode(hmac.digest(_standard_key(secret), signed, "sha256")).decode()


def _standard_key(secret: str) -> bytes:
    return _decoded(secret) or secret.encode()


def _decoded(secret: str) -> bytes | None:
    """Decode what follows the prefix as the libraries of Standard Webhooks do: with padding or without."""
    found = _STANDARD.fullmatch(secret)
    if found is None or len(found[1]) % 4 == 1:
        return None
    return base64.b64decode(found[1] + "=" * (-len(found[1]) % 4))
