"""How receivers check a signature: the published client's way, said again."""

import hashlib
import hmac


def published_client_accepts(body: bytes, header: str, secret: str, *, now_s: int) -> bool:
    """Parse as the published client does: of several ``v1`` it keeps the last one that it reads."""
    parts = dict(part.split("=", 1) for part in header.split(",") if "=" in part)
    signature = parts.get("v1", "")
    if not signature or abs(now_s - int(parts.get("t", "0"))) > 300:
        return False
    signed = f"{parts['t']}.{body.decode('utf-8')}"
    expected = hmac.new(secret.encode("utf-8"), signed.encode("utf-8"), hashlib.sha256).hexdigest()
    return hmac.compare_digest(signature, expected)


def any_v1_accepts(body: bytes, header: str, secret: str) -> bool:
    """Accept if any ``v1`` fits, as the scheme's documentation asks of receivers."""
    timestamp, *signatures = header.split(",")
    signed = timestamp.removeprefix("t=").encode() + b"." + body
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return f"v1={expected}" in signatures
