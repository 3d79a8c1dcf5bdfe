"""The httpx client that a program lends to a client of ours."""

from __future__ import annotations

from typing import Generic, NoReturn, TypeVar

from ezthrottle._per_process import process
from ezthrottle.exceptions import EZThrottleError

T = TypeVar("T")


class Lent(Generic[T]):
    """Lets one process only use what is lent: its sockets would be shared with a process forked from it.

    >>> Lent("an httpx client").get()
    'an httpx client'
    """

    def __init__(self, http: T) -> None:
        self._http = http
        self._used_in: tuple[int, int] | None = None

    def get(self) -> T:
        """Return the httpx client; raises EZThrottleError where another process has used it."""
        here = process()
        if self._used_in not in {None, here}:
            raise EZThrottleError(
                "The http_client was used before this process was forked, and would share its sockets. Make "
                "the client in each process, or leave http_client out: a pool of its own follows a fork."
            )
        self._used_in = here
        return self._http

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client with an http_client cannot be copied or pickled: leave http_client out")
