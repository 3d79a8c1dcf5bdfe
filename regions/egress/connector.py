"""Connections that take little memory within TLS.

An event loop's TLS gives each connection a buffer of 256 KiB that it reads into, and lets nobody set that.
What was once written to there stays in memory for as long as the connection, and OpenSSL's own buffer grows
by as much and never shrinks. Here less is lent to the system at a time, between the loop's transport and its
TLS: ``start_tls`` leaves that transport in our hands, and TLS is a ``BufferedProtocol`` to it.
"""

import asyncio
import errno
import os
import ssl
from typing import Any, cast

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorError,
    ClientConnectorSSLError,
    TCPConnector,
)
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest

from orchestrator.domain.byte_budget import KIB

TLS_READ_BYTES = 16 * KIB
"""What is read at a time: as much as a record has at most. With it a connection takes ``TLS_COSTS``."""


class NarrowReading(asyncio.BufferedProtocol):
    """Stands before a connection's TLS, and lends less of its buffer than that does."""

    def __init__(self, tls: asyncio.BufferedProtocol) -> None:
        self._tls = tls
        # Its buffer is as large as it gets: a view of it may stay.
        self._lent = memoryview(tls.get_buffer(TLS_READ_BYTES))[:TLS_READ_BYTES]

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # asyncio's
        """Lend what the system writes into."""
        return self._lent

    def buffer_updated(self, nbytes: int) -> None:
        """Hand it on."""
        self._tls.buffer_updated(nbytes)

    def eof_received(self) -> bool | None:
        """Hand it on."""
        return self._tls.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Hand it on."""
        self._tls.connection_lost(exc)

    def pause_writing(self) -> None:
        """Hand it on."""
        self._tls.pause_writing()

    def resume_writing(self) -> None:
        """Hand it on."""
        self._tls.resume_writing()


class _Silence(asyncio.Protocol):
    """A connection that nobody has said anything on."""

    def __init__(self) -> None:
        self.broken = False

    def data_received(self, data: bytes) -> None:  # noqa: ARG002  # asyncio's
        self.broken = True


class NarrowConnector(TCPConnector):
    """Makes connections; those within TLS read little at a time."""

    async def _wrap_create_connection(
        self,
        *args: Any,
        req: ClientRequest,
        ssl: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
        **options: Any,
    ) -> tuple[asyncio.Transport, ResponseHandler]:
        if ssl is None:
            return await super()._wrap_create_connection(*args, req=req, **options)
        plain, silence = await super()._wrap_create_connection(_Silence, req=req, **options)
        try:
            return await self._within_tls(plain, cast("_Silence", silence), ssl, server_hostname)
        except BaseException as error:
            plain.abort()
            if (told := _as_of_aiohttp(error, req)) is None:
                raise
            raise told from error

    async def _within_tls(
        self, plain: asyncio.Transport, silence: _Silence, context: ssl.SSLContext, host: str | None
    ) -> tuple[asyncio.Transport, ResponseHandler]:
        if silence.broken:
            raise ssl.SSLError(ssl.SSL_ERROR_SSL, "the server speaks before it is asked")
        if plain.is_closing():
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        loop = asyncio.get_running_loop()
        protocol = ResponseHandler(loop=loop)
        # TLS stands before the connection once start_tls waits, and has read nothing yet.
        loop.call_soon(_read_narrowly, plain)
        within = await loop.start_tls(plain, protocol, context, server_hostname=host)
        if within is None:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        protocol.connection_made(within)
        return within, protocol


def _read_narrowly(plain: asyncio.Transport) -> None:
    plain.set_protocol(NarrowReading(cast("asyncio.BufferedProtocol", plain.get_protocol())))


def _as_of_aiohttp(error: BaseException, req: ClientRequest) -> ClientConnectorError | None:
    """Give what aiohttp raises where a handshake fails."""
    match error:
        case ssl.SSLCertVerificationError():
            return ClientConnectorCertificateError(req.connection_key, error)
        case ssl.SSLError():
            return ClientConnectorSSLError(req.connection_key, error)
        case OSError() if error.errno is not None or not isinstance(error, TimeoutError):
            return ClientConnectorError(req.connection_key, error)
        case _:
            return None
