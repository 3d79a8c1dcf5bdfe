"""TCP ports of loopback, each given once: a service may still know the pace of what listened there before."""

import socket
from random import SystemRandom

APART = range(20_000, 32_000)
"""Below those that Linux gives to connections (ip_local_port_range begins at 32,768): what is free now is
free still when a process that needs seconds to start listens there.
"""

_given: set[int] = set()


def fresh_listener(backlog: int = 128) -> socket.socket:
    """Listen on a port of which nobody in this process was told before."""
    while True:
        port = SystemRandom().choice(APART)
        if port not in _given:
            _given.add(port)
            try:
                return socket.create_server(("127.0.0.1", port), backlog=backlog)
            except OSError:
                # Somebody else's.
                continue


def free_port() -> int:
    """Find such a port that nobody has."""
    with fresh_listener() as listener:
        port: int = listener.getsockname()[1]
    return port
