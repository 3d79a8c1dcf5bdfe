"""The router: a process that holds a network namespace for each machine, and moves packets between them.

    python -m bench.testbed.router NAME=ADDRESS ... < orders

It answers each line of orders (JSON: ``Order``) with a line, and ends with its input. A machine's
namespace outlives the machine: whoever boots it again has the same address.
"""

import fcntl
import heapq
import itertools
import os
import selectors
import socket
import struct
import subprocess
import sys
import time
from random import Random

import msgspec

from bench.testbed.namespaces import TUN, enter_net, new_net, open_net
from bench.testbed.wan import Wan, Way

DEVICE = "wan0"
MTU = 1500
PREFIX = 16
READ_AT_ONCE = 64
_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x1001
_IPV4 = 4
_RECEIVER = slice(16, 20)


class Order(msgspec.Struct, frozen=True):
    """What to do with some ways: shape (``changes`` are fields of ``Path``), cut or heal them."""

    do: str
    ways: list[Way]
    changes: dict[str, float | None] = {}


class Done(msgspec.Struct, frozen=True):
    """The answer: what has passed so far, and what went wrong, if anything did."""

    packets: int
    lost: int
    error: str | None = None


class Started(msgspec.Struct, frozen=True):
    """The first line: the descriptors of the machines' network namespaces, in this process."""

    namespaces: dict[str, int]


class Router:
    """Moves packets. One thread: it enters every namespace once, to open the device there."""

    def __init__(self, addresses: dict[str, str]) -> None:
        self.namespaces: dict[str, int] = {}
        self._wan = Wan(Random())  # loss and jitter
        self._devices: dict[str, int] = {}
        self._names = {socket.inet_aton(address): name for name, address in addresses.items()}
        self._waiting: list[tuple[float, int, Way, bytes]] = []
        self._numbers = itertools.count()
        self._packets = self._lost = 0
        home = open_net()
        for name, address in addresses.items():
            self.namespaces[name] = new_net()
            self._devices[name] = _open_device(address)
        enter_net(home)

    def run(self) -> None:
        """Move packets and follow orders, until these end."""
        with selectors.DefaultSelector() as selector:
            for name, device in self._devices.items():
                selector.register(device, selectors.EVENT_READ, name)
            selector.register(sys.stdin.buffer, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select(self._until_next()):
                    if key.data is not None:
                        self._read(key.data)
                    elif not self._obey(sys.stdin.buffer.readline()):
                        return
                self._write_what_is_due()

    def _until_next(self) -> float | None:
        return max(0.0, self._waiting[0][0] - time.monotonic()) if self._waiting else None

    def _read(self, sender: str) -> None:
        device = self._devices[sender]
        for _ in range(READ_AT_ONCE):
            try:
                packet = os.read(device, 65535)
            except BlockingIOError:
                return
            self._accept(sender, packet)

    def _accept(self, sender: str, packet: bytes) -> None:
        receiver = self._names.get(packet[_RECEIVER]) if packet[0] >> 4 == _IPV4 else None
        if receiver is None:
            return
        way = (sender, receiver)
        arrives = self._wan.arrival(time.monotonic(), way, len(packet))
        if arrives is None:
            self._lost += 1
        else:
            heapq.heappush(self._waiting, (arrives, next(self._numbers), way, packet))

    def _write_what_is_due(self) -> None:
        now = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            _, _, way, packet = heapq.heappop(self._waiting)
            if self._wan.is_cut(way):
                self._lost += 1
                continue
            os.write(self._devices[way[1]], packet)
            self._packets += 1

    def _obey(self, line: bytes) -> bool:
        if not line:
            return False
        error = None
        try:
            self._do(msgspec.json.decode(line, type=Order))
        except (msgspec.MsgspecError, TypeError, ValueError) as problem:
            error = str(problem)
        _answer(Done(self._packets, self._lost, error))
        return True

    def _do(self, order: Order) -> None:
        match order.do:
            case "shape":
                self._wan.shape(order.ways, order.changes)
            case "cut":
                self._wan.cut(order.ways)
            case "heal":
                self._wan.heal(order.ways)
            case _:
                raise ValueError(f"no such order: {order.do}")


def _open_device(address: str) -> int:
    """Make the network device of this thread's namespace: what is written to it arrives there."""
    device = os.open(TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22s", DEVICE.encode(), _IFF_TUN_NO_PI, b""))
    for command in (
        f"addr add {address}/{PREFIX} dev {DEVICE}",
        f"link set {DEVICE} mtu {MTU} txqueuelen 2000 up",
        "link set lo up",
    ):
        subprocess.run(["ip", *command.split()], check=True)  # wherever this system has it
    return device


def _answer(message: msgspec.Struct) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    """Serve until the input ends."""
    addresses = {name: address for name, _, address in (pair.partition("=") for pair in sys.argv[1:])}
    router = Router(addresses)
    _answer(Started(router.namespaces))
    router.run()


if __name__ == "__main__":
    main()
