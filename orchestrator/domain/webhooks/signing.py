"""Signatures on webhooks.

Sources: the published EZThrottle SDK's scheme (``t=…,v1=…``), and Standard Webhooks 1.0.0.
"""

import base64
import re
from collections.abc import Sequence
from functools import lru_cache

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from orchestrator.domain.ids import DeliveryId

SECRETS_KEPT = 1024
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
    own = ",".join(f"v1={_own(secret, f'{unix_s}.', body)}" for secret in secrets)
    standard = " ".join(f"v1,{_standard(secret, f'{delivery}.{unix_s}.', body)}" for secret in secrets)
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


def _own(secret: str, head: str, body: bytes) -> str:
    return _digest(_keyed(secret), head, body).hex()


def _standard(secret: str, head: str, body: bytes) -> str:
    return base64.b64encode(_digest(_keyed_as_standard(secret), head, body)).decode()


def _digest(keyed: HMAC, head: str, body: bytes) -> bytes:
    mac = keyed.copy()
    mac.update(head.encode())
    mac.update(body)
    return mac.finalize()


# To set up a key takes three times as long as to sign a small result with it.
@lru_cache(SECRETS_KEPT)
def _keyed(secret: str) -> HMAC:
    return HMAC(secret.encode(), SHA256())


@lru_cache(SECRETS_KEPT)
def _keyed_as_standard(secret: str) -> HMAC:
    return HMAC(_decoded(secret) or secret.encode(), SHA256())


def _decoded(secret: str) -> bytes | None:
    """Decode what follows the prefix as the libraries of Standard Webhooks do: with padding or without."""
    found = _STANDARD.fullmatch(secret)
    if found is None or len(found[1]) % 4 == 1:
        return None
    return base64.b64decode(found[1] + "=" * (-len(found[1]) % 4))
