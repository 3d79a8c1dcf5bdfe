"""What a failed exchange is called; the words never come from a URL beyond its host and port."""

import errno
import os
import socket
import ssl

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientOSError,
    ClientSSLError,
)

from orchestrator.domain.exchange import Fault
from orchestrator.ports.egress import EgressError
from regions.egress.dns import ForbiddenAddressError
from regions.egress.exchange import GatedExchange, NotResentError, Phase

TIME_OVER = "the time limit passed"


class UnansweredError(Exception):
    """The request was written, and no answer came; the message says what came instead."""


def egress_error(error: BaseException, exchange: GatedExchange, authority: str) -> EgressError:
    """Name the failure of an ``exchange`` with ``authority``, a host and port."""
    if isinstance(error, EgressError):
        return error
    if isinstance(error, NotResentError):
        error = error.cause
    unwritten = _nothing_written(error, exchange)
    if exchange.deadline.expired():
        fault, reason = (Fault.CONNECT_TIMEOUT if unwritten else Fault.TIMEOUT), TIME_OVER
    else:
        fault, reason = _unwritten(error) if unwritten else (Fault.BROKEN, _written(error))
    return EgressError(fault, f"{authority}: {reason}")


def _nothing_written(error: BaseException, exchange: GatedExchange) -> bool:
    """A ValueError while writing comes from putting the header together, which precedes the first byte."""
    if exchange.phase is Phase.WRITING:
        return isinstance(error, ValueError)
    return exchange.phase is not Phase.SENT


def _unwritten(error: BaseException) -> tuple[Fault, str]:
    match error:
        case ClientConnectorError(os_error=ForbiddenAddressError() as refusal):
            return Fault.NOT_ALLOWED, f"the address is not allowed: {refusal}"
        case ClientConnectorError(os_error=OSError(errno=errno.EMFILE | errno.ENFILE)):
            return Fault.LOST, "there are too many open files here"
        case ClientConnectorError():
            return Fault.CONNECT, _connector_words(error)
        case ValueError():
            return Fault.INVALID, "the request can't be put on a wire"
        case _:
            return Fault.CONNECT, "no connection that could be used"


def _connector_words(error: ClientConnectorError) -> str:
    match error:
        case ClientConnectorDNSError():
            return f"the name does not resolve: {_system_words(error.os_error)}"
        case ClientConnectorCertificateError():
            return f"the certificate does not verify: {_certificate_words(error)}"
        case ClientSSLError():
            return "the TLS handshake failed"
        case _:
            return f"no connection: {_system_words(error.os_error)}"


def _written(error: BaseException) -> str:
    match error:
        case UnansweredError():
            return str(error)
        case ClientOSError():
            return f"the connection broke: {_system_words(error)}"
        case _:
            return "the connection broke"


def _system_words(error: OSError) -> str:
    """The system's words for an error number; an event loop's own text would name the address dialled."""
    if isinstance(error, socket.gaierror):
        return error.strerror or "no reason given"
    return os.strerror(error.errno) if error.errno else "no reason given"


def _certificate_words(error: ClientConnectorCertificateError) -> str:
    cause = error.certificate_error
    return cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else "no reason given"
