"""An answer's header lines, joined as customers see them, and apart where they say something about pace."""

from collections.abc import Iterable

from orchestrator.domain.headers.signals import bears_on_pace


def joined_headers(raw: Iterable[tuple[bytes, bytes]]) -> tuple[dict[str, str], dict[str, str]]:
    """Join repeated lines with ``, ``, ``Set-Cookie`` with newlines, names in lower case. With them come
    those that bear on pace and were repeated, their lines apart by newlines: joined, two waits read as none.
    """
    joined: dict[str, str] = {}
    repeated: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin-1").lower(), _text(raw_value)
        if name in joined:
            if bears_on_pace(name):
                repeated[name] = f"{repeated.get(name, joined[name])}\n{value}"
            separator = "\n" if name == "set-cookie" else ", "
            value = f"{joined[name]}{separator}{value}"
        joined[name] = value
    return joined, repeated


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
