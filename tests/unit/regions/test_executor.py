"""What an executor reports of an attempt."""

import asyncio
import math
import socket
from collections.abc import Callable

import pytest

from orchestrator.domain.byte_budget import LARGE_BYTES
from orchestrator.domain.exchange import Fault, HttpRequest, HttpResponse, Phases
from orchestrator.domain.health.routing import SELF_FENCE_AFTER_S
from orchestrator.domain.ids import AttemptId
from orchestrator.domain.trace_context import HEADER
from orchestrator.messages.codec import decode_one, encode
from orchestrator.messages.types import AnswerHeld, AttemptDone, Message, RunAttempt, SendAnswer
from orchestrator.ports.clock import SystemClock
from orchestrator.ports.egress import EgressError, Gate, Timed
from regions.egress.answer_room import AnswerRoom
from regions.executor import Executor, ShardLease

SHARD_AHEAD_S = 1_000.0


class Prompt:
    """An egress that answers as soon as its gate has opened."""

    async def exchange(self, request: HttpRequest, gate: Gate, timed: Timed | None = None) -> HttpResponse:
        await gate()
        if timed is not None:
            timed(Phases(0.0, 0.0))
        return HttpResponse(status=200, headers={}, body=b"")

    async def close(self) -> None:
        """Nothing is held."""


class Closes:
    """An egress whose connection was closed while the gate was shut."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault

    async def exchange(self, request: HttpRequest, gate: Gate, timed: Timed | None = None) -> HttpResponse:
        await gate()
        raise EgressError(self._fault, "as the test says")

    async def close(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.LOST])
async def test_an_attempt_of_which_nothing_was_written_has_no_start(fault: Fault) -> None:
    clock, reports = SystemClock(), asyncio.Queue[Message]()
    executor = Executor(Closes(fault), clock, reports.put_nowait)
    executor.unfence(math.inf)

    executor.receive(
        RunAttempt(AttemptId("1"), clock.now(), HttpRequest(method="GET", url="http://a.example/"))
    )
    done = await reports.get()

    assert isinstance(done, AttemptDone)
    assert (done.started_at is None) == fault.unwritten
    await executor.close()


@pytest.mark.parametrize("traced", [True, False])
async def test_where_the_time_went_is_told_of_a_traced_request_however_short_it_was(*, traced: bool) -> None:
    clock, reports = SystemClock(), asyncio.Queue[Message]()
    executor = Executor(Prompt(), clock, reports.put_nowait)
    executor.unfence(math.inf)
    headers = ((HEADER, "00-" + "1" * 32 + "-" + "2" * 16 + "-01"),) if traced else ()

    request = HttpRequest(method="GET", url="http://a.example/", headers=headers)
    executor.receive(RunAttempt(AttemptId("1"), clock.now(), request))
    done = decode_one(encode(await reports.get()))

    assert isinstance(done, AttemptDone)
    assert (done.phases is not None) == traced
    await executor.close()


async def test_start_and_answer_are_told_in_the_shards_time() -> None:
    clock, reports = SystemClock(), asyncio.Queue[Message]()
    executor = Executor(Prompt(), clock, reports.put_nowait)
    executor.clock_offset_s = SHARD_AHEAD_S
    executor.unfence(math.inf)
    began = clock.now() + SHARD_AHEAD_S

    executor.receive(RunAttempt(AttemptId("1"), began, HttpRequest(method="GET", url="http://a.example/")))
    done = await reports.get()

    assert isinstance(done, AttemptDone)
    assert done.started_at is not None
    assert done.answered_at is not None
    assert began <= done.started_at <= done.answered_at <= clock.now() + SHARD_AHEAD_S
    await executor.close()


class Holds:
    """An egress that never answers."""

    async def exchange(self, request: HttpRequest, gate: Gate, timed: Timed | None = None) -> HttpResponse:
        await asyncio.Event().wait()
        return HttpResponse(status=200, headers={}, body=b"")

    async def close(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize(("left", "places"), [(10_000, 9_938), (66, 4), (64, 2), (10, 1), (0, 1)])
async def test_an_executor_has_places_for_what_it_has_and_for_the_files_that_it_may_open_still(
    left: int, places: int
) -> None:
    clock, reports = SystemClock(), asyncio.Queue[Message]()
    executor = Executor(Holds(), clock, reports.put_nowait, count_files_left=lambda: left)
    executor.unfence(math.inf)
    for number in range(2):
        request = HttpRequest(method="GET", url="http://a.example/")
        executor.receive(RunAttempt(AttemptId(str(number)), clock.now(), request))
    assert executor.places == places
    await executor.close()


class Sleeper(SystemClock):
    """The clock of a machine that slept: what it counts for intervals knows nothing of that."""

    asleep_s = 0.0

    def boot_s(self) -> float:
        return super().boot_s() + self.asleep_s


class Connects:
    """An egress that has a connection once ``connected`` is set."""

    def __init__(self) -> None:
        self.connected = asyncio.Event()
        self.wrote = False

    async def exchange(self, request: HttpRequest, gate: Gate, timed: Timed | None = None) -> HttpResponse:
        await self.connected.wait()
        await gate()
        self.wrote = True
        return HttpResponse(status=200, headers={}, body=b"")

    async def close(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize(("asleep_s", "goes"), [(0.0, True), (SELF_FENCE_AFTER_S / 2, True), (3600.0, False)])
async def test_nothing_starts_on_a_machine_that_slept_past_its_lease(asleep_s: float, goes: bool) -> None:
    clock, reports, egress = Sleeper(), asyncio.Queue[Message](), Connects()
    executor = Executor(egress, clock, reports.put_nowait)
    lease = ShardLease(executor, clock)
    lease.heard(1, clock.boot_s())
    executor.receive(
        RunAttempt(AttemptId("1"), clock.now(), HttpRequest(method="GET", url="http://a.example/"))
    )

    clock.asleep_s = asleep_s
    egress.connected.set()
    done = await reports.get()

    assert isinstance(done, AttemptDone)
    assert egress.wrote is goes
    assert done.fault is (None if goes else Fault.LOST)
    assert (lease.silence_s or 0.0) >= asleep_s
    await executor.close()


class Told(SystemClock):
    """A clock that stands where a test sets it."""

    at = 0.0

    def boot_s(self) -> float:
        return self.at


@pytest.mark.parametrize("late_s", [0.0, 0.75, SELF_FENCE_AFTER_S])
async def test_a_reply_lets_work_go_on_until_its_heartbeats_lease_is_over_however_late_it_comes(
    late_s: float,
) -> None:
    clock = Told()
    executor = Executor(Connects(), clock, lambda _message: None)
    lease = ShardLease(executor, clock)
    clock.at = late_s
    lease.heard(1, sent=0.0)
    assert not executor.lease_expired
    clock.at = SELF_FENCE_AFTER_S
    assert not executor.lease_expired
    clock.at += 0.001
    assert executor.lease_expired
    lease.heard(1, sent=0.0)
    assert executor.lease_expired, "a reply that came after its lease was over gave another one"


async def test_a_reply_that_a_later_one_overtook_changes_no_lease() -> None:
    clock = Told()
    executor = Executor(Connects(), clock, lambda _message: None)
    lease = ShardLease(executor, clock)
    clock.at = 1.0
    lease.heard(1, sent=0.5)
    lease.heard(1, sent=0.0)
    clock.at = 0.5 + SELF_FENCE_AFTER_S
    assert not executor.lease_expired
    clock.at += 0.001
    assert executor.lease_expired


class Reads:
    """An egress whose answer comes through a socket."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self.asked = asyncio.Event()

    async def exchange(self, request: HttpRequest, gate: Gate, timed: Timed | None = None) -> HttpResponse:
        await gate()
        self.asked.set()
        return HttpResponse(status=200, headers={}, body=await self._reader.readline())

    async def close(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize("answered", [True, False])
async def test_an_answer_that_came_while_a_process_was_stalled_counts_though_its_lease_ran_out(
    answered: bool,
) -> None:
    here, there = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=here)
    clock, reports, egress = Sleeper(), asyncio.Queue[Message](), Reads(reader)
    executor = Executor(egress, clock, reports.put_nowait)
    lease = ShardLease(executor, clock)
    lease.heard(1, clock.boot_s())
    request = HttpRequest(method="GET", url="http://a.example/")
    executor.receive(RunAttempt(AttemptId("1"), clock.now(), request))
    await egress.asked.wait()

    # Nothing here runs between these: the answer lies in the socket when the lease is looked at.
    there.sendall(b"done\n" if answered else b"do")
    clock.asleep_s = 10 * SELF_FENCE_AFTER_S
    lease.check()
    done = await reports.get()

    assert isinstance(done, AttemptDone)
    assert done.fault is (None if answered else Fault.LOST)
    executor.receive(RunAttempt(AttemptId("2"), clock.now(), request))
    refused = await reports.get()
    assert isinstance(refused, AttemptDone)
    assert refused.fault is Fault.LOST, "something began without a lease"
    await executor.close()
    writer.close()
    there.close()


class Generous:
    """A target that answers more than is reported at once."""

    async def exchange(self, request: HttpRequest, gate: Gate, timed: Timed | None = None) -> HttpResponse:
        await gate()
        return HttpResponse(status=200, headers={}, body=b"x" * 2 * LARGE_BYTES)

    async def close(self) -> None:
        """Nothing is held."""


async def test_a_large_answer_is_counted_until_the_last_of_it_has_left() -> None:
    clock, reports, room = SystemClock(), asyncio.Queue[Message](), AnswerRoom()
    on_the_way: list[tuple[Message, Callable[[], None]]] = []

    def report_large(message: Message, gone: Callable[[], None]) -> None:
        on_the_way.append((message, gone))

    executor = Executor(Generous(), clock, reports.put_nowait, report_large=report_large, room=room)
    executor.unfence(math.inf)
    executor.receive(
        RunAttempt(AttemptId("1"), clock.now(), HttpRequest(method="GET", url="http://a.example/"))
    )
    assert isinstance(await reports.get(), AnswerHeld)
    executor.receive(SendAnswer(AttemptId("1")))
    [(done, gone)] = on_the_way

    assert isinstance(done, AttemptDone)
    assert room.used == 2 * LARGE_BYTES
    gone()
    assert room.used == 0
    await executor.close()
