"""Requests that ask for another protocol (``Upgrade: h2c``, as Java's client does of its own) are answered in
this one, which a server may always do (RFC 9110, 7.8). The parser underneath takes the body of such a request
for the first bytes of that protocol: here it is read.
"""

from collections.abc import Callable, Iterable

import httptools

FRAMING = frozenset({b"content-length", b"transfer-encoding"})
Headers = Iterable[tuple[bytes, bytes]]


class UpgradeBlindParser:
    """Stands in for a connection's parser. What follows such a request is not read: nobody knows what it is.

    Args:
        parser: The connection's own.
        on_body: Takes a part of a body.
        on_message_complete: Hears the end of one.
        headers: Gives the fields of the request under way.

    """

    def __init__(
        self,
        parser: httptools.HttpRequestParser,
        *,
        on_body: Callable[[bytes], None],
        on_message_complete: Callable[[], None],
        headers: Callable[[], Headers],
    ) -> None:
        self._parser = parser
        self._headers = headers
        self.on_body = on_body
        self._complete = on_message_complete
        self._over = False
        self.get_http_version = parser.get_http_version
        self.get_method = parser.get_method
        self.should_keep_alive = parser.should_keep_alive
        self.asked = parser.should_upgrade

    def should_upgrade(self) -> bool:
        """Never."""
        return False

    @property
    def body_is_read_later(self) -> bool:
        """Whether the message that seems complete has a body all the same."""
        return self._parser.should_upgrade() and any(name in FRAMING for name, _ in self._headers())

    def feed_data(self, data: bytes) -> None:
        """Parse.

        Raises:
            httptools.HttpParserError: It is no HTTP.
        """
        if self._over:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._read_body(data[upgrade.args[0] :])

    def on_message_complete(self) -> None:
        """Hear the end of the body that was read here."""
        self._over = True
        self._complete()

    def _read_body(self, begun: bytes) -> None:
        fields = [name + b": " + value for name, value in self._headers() if name in FRAMING]
        self._parser = httptools.HttpRequestParser(self)
        if fields:
            self._parser.feed_data(b"\r\n".join([b"POST / HTTP/1.1", *fields, b"", b""]) + begun)
        else:
            self._over = True
