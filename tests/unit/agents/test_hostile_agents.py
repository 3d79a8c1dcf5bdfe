"""Who has a region's key and means no good, and who has none: refused, named in the log, nothing lost."""

import asyncio
import logging
import math
import re
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import msgpack
import pytest

from bench.loopback import Reply, Site
from orchestrator.adapters.agents.door import AgentDoor
from orchestrator.adapters.agents.door_log import LINES_AT_ONCE, LINES_PER_S, DoorLog
from orchestrator.domain.access.roles import Role
from orchestrator.domain.exchange import Fault, HttpResponse
from orchestrator.domain.health.routing import RegionHealth
from orchestrator.domain.ids import AttemptId, DeliveryId, JobId, NodeAddress
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.messages.codec import PARTIAL_BYTES_MOST, WIRE_VERSION, encode, fragments
from orchestrator.messages.hello import Hello, Purpose, Refusal, read, written
from orchestrator.messages.types import (
    AnswerHeld,
    AttemptDone,
    AttemptStarted,
    Delivered,
    DeliverySigned,
    Heartbeat,
    Message,
    RunAttempt,
    SessionMessage,
)
from orchestrator.transport import tcp_exchange
from orchestrator.transport.framed_link import FrameKind
from orchestrator.transport.gateway import Gateway
from orchestrator.transport.visits import Visit
from tests.support.agent_rig import FRA, LAX, AgentRig, Stranger, a_hello

OK = HttpResponse(status=200, headers={}, body=b"forged")
ATTEMPT = AttemptId("shard-0:1.1")


@pytest.fixture
async def honest(rig: AgentRig, target: Site, caplog: pytest.LogCaptureFixture) -> AsyncIterator[AgentRig]:
    """A rig with an honest agent, whose work goes on whatever somebody else says."""
    caplog.set_level(logging.WARNING)
    await rig.join(FRA, "one")
    yield rig
    stored = await rig.run(target.url("/still-works"), FRA)
    assert stored.state is JobState.SUCCESS


async def refusal(stranger: Stranger) -> Refusal:
    kind, payload = await stranger.hear()
    assert kind is FrameKind.REFUSED
    said = read(payload, Refusal)
    assert await stranger.is_hung_up_on()
    return said


@pytest.mark.parametrize(
    "bytes_said",
    [
        b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n",
        b"\x00" * 64,
        b"\xff" * 64,
        b"\x00\x00\x00\x00\x00\x00\x00\x00\x00",
        (9 + 5).to_bytes(4, "big") + b"\x00\x00\x00\x00\x01" + b"\x93\x01\x02\x03" + b"\x00" * 5,
        (5 + 5_000).to_bytes(4, "big") + b"\x00\x00\x00\x00\x01",
        (5 + 2).to_bytes(4, "big") + b"\x01\x00\x00\x00\x01" + b"hi",
        (5 + 2).to_bytes(4, "big") + b"\x63\x00\x00\x00\x01" + b"hi",
    ],
    ids=["HTTP", "zeros", "ones", "no kind", "no hello", "a long hello", "a batch", "an unknown kind"],
)
async def test_garbage_before_authentication_is_hung_up_on(
    honest: AgentRig, bytes_said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = await honest.stranger()
    stranger.write(bytes_said)
    assert await stranger.is_hung_up_on()
    assert "hung up on 127.0.0.1:" in caplog.text


async def test_who_never_speaks_is_hung_up_on(
    honest: AgentRig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tcp_exchange, "HELLO_WITHIN_S", 0.2)
    stranger = await honest.stranger()
    stranger.write(b"\x00\x00")
    assert await stranger.is_hung_up_on()
    assert "never said who it is" in caplog.text


async def test_who_stops_in_the_middle_of_the_tls_handshake_is_hung_up_on(
    rig: AgentRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp_exchange, "TLS_WITHIN_S", 0.2)
    exchange = AgentDoor(Gateway("127.0.0.1", 0, rig.tls()), rig.store.customers, lambda: rig.node).exchange
    await exchange.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", exchange.port)
    writer.write(b"\x16\x03\x01")
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()
    await exchange.stop()


@pytest.mark.parametrize("said", ["yes", 1, None, [True]])
async def test_who_does_not_say_which_jobs_it_takes_is_hung_up_on(honest: AgentRig, said: object) -> None:
    key, _ = await honest.key()
    hello = msgpack.unpackb(written(a_hello(key))) | {"only_named": said}
    stranger = await honest.stranger()
    stranger.say(FrameKind.HELLO, msgpack.packb(hello))
    assert await stranger.is_hung_up_on()


async def test_who_takes_named_jobs_only_keeps_no_others_from_the_honest(
    honest: AgentRig, target: Site
) -> None:
    key, _ = await honest.key()
    beats = await honest.intruder(key, Purpose.BEATS, only_named=True)
    for _ in range(2):
        await beats.beat(honest.shard.epoch)
    assert honest.shard.peers.default() == FRA
    assert honest.shard.peers.peer(FRA, named=False).address.node.startswith("one@")
    beats.close()


async def test_strangers_are_bounded_in_number(honest: AgentRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp_exchange, "STRANGERS_MOST", 3)
    strangers = [await honest.stranger() for _ in range(4)]
    assert await strangers[0].is_hung_up_on()
    for stranger in strangers:
        stranger.close()


async def test_a_token_that_is_none_is_refused(honest: AgentRig, caplog: pytest.LogCaptureFixture) -> None:
    stranger = await honest.stranger()
    stranger.say(FrameKind.HELLO, written(a_hello("ck_live_regions_nobody")))
    assert await refusal(stranger) == Refusal("the token is unknown or revoked, or has expired")
    assert "as fra/two: refused: the token is unknown or revoked, or has expired" in caplog.text


@pytest.mark.parametrize("role", [Role.SUBMIT, Role.ADMIN])
async def test_a_customers_key_is_no_regions(honest: AgentRig, role: Role) -> None:
    key, _ = await honest.key(role=role)
    stranger = await honest.stranger()
    stranger.say(FrameKind.HELLO, written(a_hello(key)))
    assert f"a key of the role {role}" in (await refusal(stranger)).reason


async def test_another_region_than_the_tokens_is_refused(honest: AgentRig) -> None:
    key, _ = await honest.key(FRA)
    stranger = await honest.stranger()
    stranger.say(FrameKind.HELLO, written(a_hello(key, region=LAX)))
    assert (await refusal(stranger)).reason == "the token is for region fra, not for lax"


async def test_an_old_wire_version_is_refused_in_words(honest: AgentRig) -> None:
    key, _ = await honest.key()
    stranger = await honest.stranger()
    stranger.say(FrameKind.HELLO, written(a_hello(key, versions=[WIRE_VERSION - 2])))
    assert "it is too old: update the agent" in (await refusal(stranger)).reason


async def test_the_name_of_another_keys_node_names_another_node(honest: AgentRig) -> None:
    key, made = await honest.key()
    intruder = await honest.intruder(key, Purpose.BEATS, node="one")
    await intruder.beat(honest.shard.epoch)
    nodes = [peer.address for peer in honest.shard.peers.region(FRA).nodes]
    assert NodeAddress(FRA, f"one@{made.key_id}") in nodes  # type: ignore[arg-type]  # a name as it reads
    assert len(nodes) == 2
    intruder.close()


async def test_reports_on_attempts_of_others_count_for_nothing(honest: AgentRig, target: Site) -> None:
    job = await honest.submit(target.on("/others", Reply(after_s=1.0, body=b"true")), FRA)
    await honest.until(lambda: bool(target.seen("/others")))
    key, _ = await honest.key()
    intruder = await honest.intruder(key)
    for attempt in list(honest.shard.targets.dispatcher._open):
        intruder.report(honest.shard.epoch, AttemptDone(attempt, 1.0, OK))
    kind, _ = await intruder.hear()
    assert kind is FrameKind.TAKEN
    assert b"forged" not in ((await honest.ended(job)).result or b"")
    intruder.close()


@pytest.mark.parametrize("at", [1e18, -1e18])
async def test_times_that_can_not_be_are_taken_for_the_nearest_that_can(
    rig: AgentRig, target: Site, at: float
) -> None:
    key, _ = await rig.key()
    batches, beats = await rig.intruder(key), await rig.intruder(key, Purpose.BEATS)
    await beats.beat(rig.shard.epoch)
    job = await rig.submit(target.url("/never-called"), FRA)
    run = await next_run(batches)
    batches.report(rig.shard.epoch, AttemptDone(run, at, OK, answered_at=at))
    stored = await rig.ended(job)
    assert stored.course is not None
    (attempt,) = stored.course.attempts
    assert abs((attempt.started_ms or 0) - rig.clock.unix_ms()) < 60_000
    batches.close()
    beats.close()


async def next_run(stranger: Stranger) -> AttemptId:
    """Wait for work."""
    while True:
        kind, payload = await stranger.hear()
        if kind is FrameKind.BATCH:
            stranger.say(FrameKind.TAKEN, b"")
            for message in stranger.batches.read(payload)[1]:
                if isinstance(message, RunAttempt):
                    return message.attempt


def forged(message: Any, /, **fields: Any) -> Any:
    """Put anything into a message: nothing of it is checked where it is made."""
    values = {name: getattr(message, name) for name in message.__struct_fields__}
    return type(message)(**values | fields)


DONE = AttemptDone(ATTEMPT, 1.0, OK)
OF_OTHER_TYPES: dict[str, Message] = {
    "no id": forged(DONE, attempt=["a", "list"]),
    "a status of words": forged(DONE, response=forged(OK, status="fine")),
    "a body of text": forged(DONE, response=forged(OK, body="text")),
    "headers that are none": forged(DONE, response=forged(OK, headers={"a": 1})),
    "no number": forged(DONE, started_at="yesterday"),
    "a heartbeat in a batch": forged(Heartbeat("one life", 1), epoch="x"),
}
BAD_REPORTS: dict[str, Message] = {
    "a long id": forged(DONE, attempt="a" * 10_000),
    "a time that is no number": forged(DONE, started_at=math.nan),
    "neither answer nor fault": forged(DONE, response=None),
    "both": forged(DONE, fault=Fault.LOST),
    "very many words": forged(DONE, response=None, fault=Fault.LOST, message="a" * 10_000),
    "less than nothing": AnswerHeld(ATTEMPT, -1),
    "very much": AnswerHeld(ATTEMPT, 2**62),
    "an endless start": AttemptStarted(ATTEMPT, math.inf),
    "an endless wait": Delivered(DeliveryId("d"), 1, 503, 1, retry_after_s=math.inf),
    "what a shard says": DeliverySigned(DeliveryId("d"), 1, ()),
    "what one shard says to another": SessionMessage(JobId("job_1"), 1, 1, 0, 0, b""),
}


@pytest.mark.parametrize("report", OF_OTHER_TYPES.values(), ids=OF_OTHER_TYPES)
async def test_a_report_whose_fields_are_of_other_types_ends_the_connection(
    honest: AgentRig, report: Message, caplog: pytest.LogCaptureFixture
) -> None:
    key, _ = await honest.key()
    intruder = await honest.intruder(key)
    intruder.report(honest.shard.epoch, report)
    assert await intruder.is_hung_up_on()
    assert re.search(r"hung up on .*: not a batch: Expected `.*`, got `.*` - at `\$\[\d\]", caplog.text)


@pytest.mark.parametrize("report", BAD_REPORTS.values(), ids=BAD_REPORTS)
async def test_a_report_that_is_none_ends_the_connection(
    honest: AgentRig, report: Message, caplog: pytest.LogCaptureFixture
) -> None:
    key, _ = await honest.key()
    intruder = await honest.intruder(key)
    intruder.report(honest.shard.epoch, report)
    assert await intruder.is_hung_up_on()
    assert "is not what a region may say" in caplog.text


@pytest.mark.parametrize(
    "batch", [b"", b"\xc1", b"\x93\x03\x01\xa1x", msgpack.packb((WIRE_VERSION, 1, "x")) + b"\x92\xcc\xff\x01"]
)
async def test_a_batch_that_is_none_ends_the_connection(honest: AgentRig, batch: bytes) -> None:
    key, _ = await honest.key()
    intruder = await honest.intruder(key)
    intruder.say(FrameKind.BATCH, batch)
    assert await intruder.is_hung_up_on()


async def test_a_frame_that_is_too_large_is_not_waited_for(honest: AgentRig) -> None:
    key, _ = await honest.key()
    intruder = await honest.intruder(key)
    intruder.write((5 + 10_000_000).to_bytes(4, "big") + b"\x01\x00\x00\x00\x01")
    assert await intruder.is_hung_up_on()


@pytest.mark.parametrize(
    "beat",
    [
        Heartbeat("one life", 0, {f"a vital sign {number}": 1.0 for number in range(60_000)}),
        Heartbeat("one life", 0, {f"{number}": 1.0 for number in range(100)}),
        Heartbeat("one life", 0, {"cpu_s": math.nan}),
        Heartbeat("one life", 0, places=-1),
        Heartbeat("another life", 0),
    ],
    ids=["a megabyte", "too many", "no number", "less than no places", "another life"],
)
async def test_a_heartbeat_that_is_none_ends_the_connection(honest: AgentRig, beat: Heartbeat) -> None:
    key, _ = await honest.key()
    intruder = await honest.intruder(key, Purpose.BEATS)
    intruder.say(FrameKind.BEAT, encode(beat))
    assert await intruder.is_hung_up_on()


async def test_fragments_without_end_take_bounded_memory(honest: AgentRig) -> None:
    key, made = await honest.key()
    intruder, beats = await honest.intruder(key), await honest.intruder(key, Purpose.BEATS)
    await beats.beat(honest.shard.epoch)
    beats.close()
    part = fragments(encode(AttemptDone(ATTEMPT, 1.0, OK, message="a" * 200_000)), 1)[0]
    numbers = range(PARTIAL_BYTES_MOST // len(part) + 200)
    for number in numbers:
        _, _, index, count, data = msgpack.unpackb(part)
        intruder.report(honest.shard.epoch, parts=[msgpack.packb((0, number, index, count, data))])
        await intruder.hear()
    fragments_held = honest.shard.peers._fragments
    assert 0 < fragments_held.used <= PARTIAL_BYTES_MOST // 2, "what it takes it leaves to others"
    assert fragments_held.held_by(f"fra/two@{made.key_id}") == fragments_held.used
    intruder.close()


async def test_nodes_of_a_region_are_bounded_in_number(
    honest: AgentRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.core.regions.peers.NODES_MOST", 3)
    key, _ = await honest.key()
    for number in range(5):
        intruder = await honest.intruder(key, Purpose.BEATS, node=f"node-{number}")
        await intruder.beat(honest.shard.epoch)
        intruder.close()
    assert len(honest.shard.peers.region(FRA).nodes) == 3


async def test_who_reads_nothing_is_hung_up_on(honest: AgentRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.transport.tcp_link.UNREAD_MOST", 100_000)
    key, _ = await honest.key()
    intruder = await honest.intruder(key, Purpose.BEATS)
    beat = encode(Heartbeat("one life", 0))
    with pytest.raises((EOFError, ConnectionError)):
        await asyncio.wait_for(say_for_ever(intruder, FrameKind.BEAT, beat), 20)


async def say_for_ever(stranger: Stranger, kind: FrameKind, payload: bytes) -> None:
    while True:
        for _ in range(500):
            stranger.say(kind, payload)
        await stranger.drain()
        await asyncio.sleep(0)


def test_the_region_of_webhooks_can_not_be_a_tokens() -> None:
    with pytest.raises(Exception, match="no hello"):
        read(written(a_hello("x", region="@webhooks")), Hello)


async def test_an_intruder_makes_its_own_region_no_worse_than_it_is_itself(honest: AgentRig) -> None:
    key, _ = await honest.key()
    intruder = await honest.intruder(key, Purpose.BEATS)
    await intruder.beat(honest.shard.epoch)
    intruder.close()
    await honest.until(
        lambda: RegionHealth.DOWN in {node.health for node in honest.shard.peers.region(FRA).nodes}
    )
    assert honest.shard.peers.region(FRA).health is RegionHealth.UP


async def test_nothing_is_kept_of_who_never_beats_or_is_gone_for_good(
    honest: AgentRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, _ = await honest.key()
    for number in range(5):
        intruder = await honest.intruder(key, node=f"node-{number}")
        intruder.report(honest.shard.epoch, AttemptStarted(ATTEMPT, 1.0))
        await intruder.hear()
        intruder.close()
    await honest.until(lambda: len(honest.door.exchange._known) == 2)
    await honest.door.look()
    assert len(honest.door.exchange._ways) == len(honest.shard.peers.region(FRA).nodes) == 1


async def test_who_comes_again_and_again_is_counted_each_time(honest: AgentRig) -> None:
    visits = honest.shard.counters.visits
    before = visits[Visit.HUNG_UP_ON]
    for _ in range(30):
        stranger = await honest.stranger()
        stranger.write(b"\xff" * 64)
        assert await stranger.is_hung_up_on()
    assert visits[Visit.HUNG_UP_ON] - before == 30
    assert visits[Visit.LET_IN] == 1


def test_what_strangers_have_written_in_the_log_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    counted: Counter[Visit] = Counter()
    now = 0.0
    door_log = DoorLog(lambda visit: counted.update([visit]), lambda: now)
    for number in range(10_000):
        door_log.tell(Visit.HUNG_UP_ON, f"stranger {number}")
    assert counted == {Visit.HUNG_UP_ON: 10_000}
    assert len(caplog.records) == LINES_AT_ONCE
    door_log.tell(Visit.LET_IN, "somebody of ours")
    assert caplog.messages[-1] == "somebody of ours"
    now = 1 / LINES_PER_S
    door_log.tell(Visit.REFUSED, "one more")
    kept_back = 10_000 - LINES_AT_ONCE
    assert caplog.messages[-1] == f"one more ({kept_back} lines like this one were left out before it)"
