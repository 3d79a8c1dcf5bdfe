"""What of a request may be shown: who looks at a job is not always who may use its credentials.

A name says what stands behind it (``Authorization``, ``?access_token=``); where it does not, the value may
look like a secret by itself. A mask says that there is one, and nothing about it.
"""

import re
from collections.abc import Iterable
from urllib.parse import unquote_plus, urlsplit

MASK = "****"
CREDENTIAL_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key"}
)
PLAIN_NAMES = frozenset({"idempotency-key", "x-idempotency-key", "content-key", "sort-key", "partition-key"})
"""Names with a word in them that is none of a secret here."""
_SECRET_WORDS = frozenset(
    {
        *("token", "secret", "password", "passwd", "passphrase", "passcode", "pwd", "pass", "otp"),
        *("auth", "authorization", "bearer", "jwt", "cred", "creds", "credential", "credentials"),
        *("key", "keys", "apikey", "sig", "signature", "hmac"),
        *("session", "sessionid", "sid", "cookie", "csrf", "xsrf"),
    }
)
_SECRET_ENDINGS = (
    *("token", "secret", "password", "passwd", "apikey", "accesskey", "secretkey", "privatekey", "authkey"),
    *("signature", "credential", "credentials", "sessionid", "passphrase", "hmac", "jwt", "cookie"),
)
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_KNOWN_SHAPE = re.compile(
    r"(?:bearer|basic|digest|token|apikey)\s+\S"
    r"|eyJ[\w-]{8,}\.[\w-]+"  # a JSON web token
    r"|(?:sk|pk|rk|ck|whsec|ghp|gho|ghu|ghs|ghr|github_pat|glpat|xox[abeprs]|shp(?:at|ss|ca)|npm|hf|pypi|dop_v1)[_-]\w"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[\w-]{20,}|SG\.[\w-]{10,}|-----BEGIN ",
    re.IGNORECASE,
)
_RANDOM = re.compile(r"[A-Za-z0-9_+/=-]{20,}\Z")
_HEX = re.compile(r"[0-9A-Fa-f]{32,}\Z")
"""Without the dashes of a UUID, which names things."""


def names_a_secret(name: str) -> bool:
    """Say whether a header's or a parameter's name promises a secret, in whatever style it is written."""
    plain = name.strip().lower()
    if plain in PLAIN_NAMES:
        return False
    words = {word.lower() for word in _WORDS.findall(name)}
    joined = re.sub(r"[^a-z0-9]", "", plain)
    return plain in CREDENTIAL_HEADERS or bool(words & _SECRET_WORDS) or joined.endswith(_SECRET_ENDINGS)


def looks_secret(value: str) -> bool:
    """Say whether a value is a secret by its own looks: of a known shape, or long and drawn at random."""
    return bool(_KNOWN_SHAPE.match(value)) or _is_random(value) or bool(_HEX.match(value))


def masked_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Show a request's headers."""
    return {name: MASK if names_a_secret(name) or looks_secret(value) else value for name, value in headers}


def masked_url(url: str) -> str:
    """Show a URL: without its userinfo, and without what looks like a secret in path, query and fragment."""
    parts = urlsplit(url)
    netloc = parts.netloc
    if "@" in netloc:
        netloc = f"{MASK}@{netloc.rpartition('@')[2]}"
    path = "/".join(_masked(segment) for segment in parts.path.split("/"))
    query, fragment = _masked_pairs(parts.query), _masked_pairs(parts.fragment)
    shown = f"{parts.scheme}://{netloc}{path}"
    return shown + (f"?{query}" if parts.query else "") + (f"#{fragment}" if parts.fragment else "")


def _masked_pairs(text: str) -> str:
    return "".join(_masked_pair(part) for part in re.split(r"([&;])", text))


def _masked_pair(pair: str) -> str:
    name, equals, value = pair.partition("=")
    if not equals:
        return _masked(name)
    return f"{name}={MASK}" if value and names_a_secret(unquote_plus(name)) else f"{name}={_masked(value)}"


def _masked(value: str) -> str:
    return MASK if looks_secret(unquote_plus(value)) else value


def _is_random(value: str) -> bool:
    kinds = (str.isupper, str.islower, str.isdigit)
    return bool(_RANDOM.match(value)) and all(any(map(kind, value)) for kind in kinds)
