"""An answer's head and its body leave as one piece: each piece costs a call of the system at either end."""

import asyncio

import pytest

from orchestrator.adapters.http.lingering import JOINED_BYTES_MOST, LingeringTransport

HEAD = b"HTTP/1.1 202 Accepted\r\n\r\n"


class Wire(asyncio.Transport):
    """Notes the pieces that leave."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.pieces.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def line(wire: Wire) -> LingeringTransport:
    return LingeringTransport(wire, lambda: False)


def test_a_head_that_is_kept_leaves_with_its_body(wire: Wire, line: LingeringTransport) -> None:
    line.keep()
    line.write(HEAD)
    assert wire.pieces == []
    line.write(b"{}")
    line.send_on()
    assert wire.pieces == [HEAD + b"{}"]


def test_a_head_without_a_body_leaves_too(wire: Wire, line: LingeringTransport) -> None:
    line.keep()
    line.write(HEAD)
    line.send_on()
    line.write(b"later")
    assert wire.pieces == [HEAD, b"later"]


def test_a_large_body_is_not_copied_behind_its_head(wire: Wire, line: LingeringTransport) -> None:
    large = b"x" * (JOINED_BYTES_MOST + 1)
    line.keep()
    line.write(HEAD)
    line.write(large)
    line.write(b"more")
    assert wire.pieces == [HEAD, large, b"more"]


def test_what_was_kept_leaves_before_the_connection_is_closed(wire: Wire, line: LingeringTransport) -> None:
    line.keep()
    line.write(HEAD)
    line.close()
    assert (wire.pieces, wire.closed) == ([HEAD], True)


def test_nothing_is_sent_to_a_client_that_has_gone(wire: Wire, line: LingeringTransport) -> None:
    line.keep()
    line.write(HEAD)
    wire.closed = True
    line.send_on()
    assert wire.pieces == []
