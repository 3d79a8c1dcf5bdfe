"""Who may be at the other end of the batch socket: the same user, whatever the file's mode says."""

import asyncio
import os
import select
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.transport.local_link import LocalExchange, peer_uid
from tests.support.another_user import as_nobody, needs_root, start_as_nobody
from tests.unit.transport.test_local_link import Far, Inbox, calling, path

__all__ = ["path"]

HANGS_UP_WITHIN_S = 10.0


@pytest.fixture
def open_to_all(path: Path) -> Path:
    """A place for the socket that another user can reach, as it may be through no fault of ours."""
    path.parent.chmod(0o777)
    return path


def test_a_socket_pair_of_ones_own_is_ones_own() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_uid(ours.fileno()) == os.geteuid()


def let_all_connect(socket_file: Path) -> None:
    socket_file.chmod(0o666)


@needs_root
async def test_another_user_who_connects_is_hung_up_on_and_nothing_of_it_is_taken(open_to_all: Path) -> None:
    inbox = Inbox()
    exchange = LocalExchange(open_to_all, inbox.taker)
    await exchange.start()
    let_all_connect(open_to_all)

    def intrude() -> None:
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.settimeout(HANGS_UP_WITHIN_S)
            stranger.connect(str(open_to_all))
            hello = b"executor-iad"
            batch = b"\x00\x00\x00\x0a\x01\x00\x00\x00\x01batch"
            try:
                stranger.sendall(len(hello).to_bytes(4) + b"\x00" + bytes(4) + hello + batch)
                assert stranger.recv(100) == b""
            except (BrokenPipeError, ConnectionResetError):
                pass

    await asyncio.to_thread(as_nobody, intrude)
    assert inbox.queue.empty()
    far = Far()
    await exchange.carrier("executor-iad", far)(b"a customer's answer")
    assert far.carried == [b"a customer's answer"]
    await exchange.stop()


@needs_root
async def test_another_user_who_listens_in_its_place_is_told_nothing(open_to_all: Path) -> None:
    with impostor(open_to_all) as heard:
        inbox, far = Inbox(), Far()
        async with calling(open_to_all, inbox) as caller:
            await asyncio.to_thread(heard.wait_until_called)
            await caller.carrier(far)(b"a customer's answer")
        assert far.carried == [b"a customer's answer"]
    assert heard.bytes == b""


class Heard:
    """What an impostor reports through pipes."""

    def __init__(self, called: int, said: int) -> None:
        self._called, self._said = called, said
        self.bytes = b""

    def wait_until_called(self) -> None:
        """Wait until somebody connected, and was read to the end."""
        assert select.select([self._called], [], [], HANGS_UP_WITHIN_S)[0]
        os.read(self._called, 1)

    def finish(self) -> None:
        os.set_blocking(self._said, False)  # its only argument
        try:
            self.bytes = os.read(self._said, 1_000)
        except BlockingIOError:
            self.bytes = b""


@contextmanager
def impostor(where: Path) -> Iterator[Heard]:
    """Another user's process that listens where the shard should."""
    (ready, tell_ready), (called, tell_called), (said, tell_said) = os.pipe(), os.pipe(), os.pipe()

    def listen() -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(where))
            listener.listen()
            os.write(tell_ready, b"!")
            while True:
                victim, _ = listener.accept()
                with victim:
                    victim.settimeout(HANGS_UP_WITHIN_S)
                    try:
                        if data := victim.recv(1_000):
                            os.write(tell_said, data)
                    except ConnectionResetError:
                        pass
                    os.write(tell_called, b"!")

    pid = start_as_nobody(listen)
    try:
        assert select.select([ready], [], [], HANGS_UP_WITHIN_S)[0]
        heard = Heard(called, said)
        yield heard
        heard.finish()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        for end in (ready, tell_ready, called, tell_called, said, tell_said):
            os.close(end)
