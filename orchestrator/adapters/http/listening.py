"""Binding a TCP socket, or finding that it can't be: with nothing of what then listens on it."""

import socket

from orchestrator.settings import Address


def listen(address: Address) -> socket.socket:
    """Bind a TCP socket.

    Raises:
        OSError: The address is in use, or none of this machine's.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address.host, address.port))
    except BaseException:
        listener.close()
        raise
    return listener
