"""Where the service is and who is calling, from arguments and from the environment."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from ezthrottle.exceptions import AuthenticationError

DEFAULT_URL = "http://127.0.0.1:8080"
KEY_REMEDY = "Pass api_key=, or set EZTHROTTLE_API_KEY, to a key made with `ezthrottle keys create`."


@dataclass(frozen=True)
class Settings:
    """What every call to the service shares; `timeout` is in seconds.

    >>> Settings.of("ck_live_cust_acme_secret", (None,), timeout=30.0, max_attempts=5).base_url
    'http://127.0.0.1:8080'
    """

    api_key: str | None = field(repr=False)
    base_url: str
    timeout: float
    max_attempts: int

    @classmethod
    def of(
        cls, api_key: str | None, urls: Iterable[str | None], timeout: float, max_attempts: int
    ) -> Settings:
        """Return the settings for these arguments, filled up from the environment; `urls` in order."""
        return cls(_api_key_from(api_key), _base_url_from(urls), timeout, max_attempts)

    def with_api_key(self, api_key: str | None) -> Settings:
        """Return these settings with another key."""
        return replace(self, api_key=_api_key_from(api_key))

    def with_url(self, *urls: str | None) -> Settings:
        """Return these settings with another address: the first of `urls` that is given."""
        return replace(self, base_url=_base_url_from(urls))

    def __post_init__(self) -> None:
        if self.timeout <= 0:
            raise ValueError(f"timeout is {self.timeout}; give a number of seconds above 0")
        if self.max_attempts < 1:
            raise ValueError(f"max_attempts is {self.max_attempts}; give 1 or more")

    def bearer(self) -> str:
        """Return the Authorization header; raises AuthenticationError where there is no usable key."""
        if not self.api_key:
            raise AuthenticationError(f"There is no API key. {KEY_REMEDY}")
        # The HTTP library would put a header that it refuses, key and all, into its error.
        if not self.api_key.isascii() or not self.api_key.isprintable() or " " in self.api_key:
            raise AuthenticationError(
                "The API key holds a space or a character outside ASCII; copy it again."
            )
        return f"Bearer {self.api_key}"


def _api_key_from(argument: str | None) -> str | None:
    # A key that was read from a file often brings the line's end along.
    key = argument if argument is not None else os.environ.get("EZTHROTTLE_API_KEY")
    return key.strip() if key else None


def _base_url_from(arguments: Iterable[str | None]) -> str:
    chosen = next(filter(None, arguments), None) or os.environ.get("EZTHROTTLE_URL") or DEFAULT_URL
    parts = urlsplit(chosen.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"base_url is {chosen!r}; give the service's address, such as {DEFAULT_URL}")
    if parts.path.rstrip("/").endswith("/api/v1") or "/api/v1/" in parts.path:
        raise ValueError(f"base_url is {chosen!r}; give the address without /api/v1, which every call adds")
    return chosen.strip().rstrip("/")
