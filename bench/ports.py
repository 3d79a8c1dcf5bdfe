"""TCP ports of loopback, each given once: a service may still know the pace of what listened there before."""

import socket

_given: set[int] = set()


def fresh_listener(backlog: int = 128) -> socket.socket:
    """Listen on a port of which nobody in this process was told before."""
    passed_over: list[socket.socket] = []
    while (listener := _listener(backlog)).getsockname()[1] in _given:
        # Held until another is found, so that it is not offered again.
        passed_over.append(listener)
    _given.add(listener.getsockname()[1])
    for other in passed_over:
        other.close()
    return listener


def free_port() -> int:
    """Find such a port that nobody has."""
    with fresh_listener() as listener:
        port: int = listener.getsockname()[1]
    return port


def _listener(backlog: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=backlog)
