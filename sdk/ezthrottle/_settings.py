"""Where the service is and who is calling, from arguments and from the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from .exceptions import AuthenticationError

DEFAULT_URL = "http://127.0.0.1:8080"


@dataclass(frozen=True)
class Settings:
    """What every call to the service shares; `timeout` is in seconds."""

    api_key: str | None
    base_url: str
    timeout: float
    max_attempts: int

    def __post_init__(self) -> None:
        if self.timeout <= 0:
            raise ValueError(f"timeout is {self.timeout}; give a number of seconds above 0")
        if self.max_attempts < 1:
            raise ValueError(f"max_attempts is {self.max_attempts}; give 1 or more")

    def bearer(self) -> str:
        """Return the Authorization header; raises AuthenticationError where there is no usable key."""
        if not self.api_key:
            raise AuthenticationError(
                "There is no API key. Pass api_key=, or set EZTHROTTLE_API_KEY, to a key made with "
                "`ezthrottle keys create`."
            )
        # The HTTP library would put a header that it refuses, key and all, into its error.
        if not self.api_key.isascii() or not self.api_key.isprintable() or " " in self.api_key:
            raise AuthenticationError("The API key holds a space or a character outside ASCII; copy it again.")
        return f"Bearer {self.api_key}"


def api_key_from(argument: str | None) -> str | None:
    """Return the key passed, else that of EZTHROTTLE_API_KEY, without the line end files often add."""
    key = argument if argument is not None else os.environ.get("EZTHROTTLE_API_KEY")
    return key.strip() if key else None


def base_url_from(*arguments: str | None) -> str:
    """Return the first URL passed, else EZTHROTTLE_URL, else the service on this machine.

    Raises ValueError for what is not an http or https URL.
    """
    chosen = next(filter(None, arguments), None) or os.environ.get("EZTHROTTLE_URL") or DEFAULT_URL
    parts = urlsplit(chosen.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"base_url is {chosen!r}; give the service's address, such as {DEFAULT_URL}")
    return chosen.strip().rstrip("/")
