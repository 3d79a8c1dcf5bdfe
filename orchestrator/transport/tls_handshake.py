"""How a connection that has come gets within TLS, and can be ended before it is."""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress


class Handshake:
    """A connection on its way into TLS. An event loop's own server keeps it to itself until it is there: here
    it is taken from it by a second descriptor.

    Args:
        plain: The connection, as it has just been made.
        tls: This end's certificate and key.
        make: Makes what speaks within TLS.

    Raises:
        OSError: No descriptor is left.
    """

    def __init__(
        self, plain: asyncio.Transport, tls: ssl.SSLContext, make: Callable[[], asyncio.Protocol]
    ) -> None:
        self._socket = socket.socket(fileno=os.dup(plain.get_extra_info("socket").fileno()))
        self._socket.setblocking(False)  # the standard library's
        self._tls = tls
        self._make = make
        # That ends its descriptor, and not the connection.
        plain.abort()

    async def run(self, within_s: float) -> bool:
        """Say whether it came about within so many seconds; otherwise the connection is closed."""
        with suppress(OSError):
            await asyncio.get_running_loop().connect_accepted_socket(
                self._make, self._socket, ssl=self._tls, ssl_handshake_timeout=within_s
            )
            return True
        return False

    def end(self) -> None:
        """End the connection: ``run`` finds nothing on it any more."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
