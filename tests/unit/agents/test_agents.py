"""What honest agents do, over TLS on loopback."""

import socket

from bench.loopback import Reply, Site
from orchestrator.core.gateway.gateway import NO_REGION_YET
from orchestrator.domain.access.api_keys import hour_of
from orchestrator.domain.health.routing import ATTEMPTS_CREDIT, RegionHealth
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.messages.codec import WIRE_VERSION
from orchestrator.messages.hello import Purpose, Welcome, read, written
from orchestrator.runtime.version import VERSION
from orchestrator.transport.framed_link import FrameKind
from orchestrator.transport.tcp_link import ASKED_AFTER_S, GIVEN_UP_AFTER_MS
from tests.support.agent_rig import FRA, LAX, AgentRig, a_hello
from tests.support.holding_relay import holding_relay

LARGE = bytes(range(256)) * 20_480


async def test_a_job_runs_at_an_agent_of_its_region(rig: AgentRig, target: Site) -> None:
    await rig.join(FRA)
    await rig.join(LAX)
    stored = await rig.run(target.url("/here"), LAX)
    assert stored.state is JobState.SUCCESS
    assert [seen.headers["x-ezthrottle-region"] for seen in target.seen("/here")] == [LAX]


async def test_a_large_answer_comes_whole(rig: AgentRig, target: Site) -> None:
    await rig.join(FRA)
    stored = await rig.run(target.on("/large", Reply(body=LARGE)), FRA)
    assert stored.state is JobState.SUCCESS


async def test_a_region_is_known_while_a_key_for_it_is_valid(rig: AgentRig) -> None:
    assert rig.shard.peers.names == []
    _, made = await rig.key(FRA)
    await rig.door.look()
    assert (rig.shard.peers.names, rig.shard.peers.regions_up()) == ([FRA], [])
    assert rig.shard.peers.region(FRA).health is RegionHealth.DOWN
    await rig.store.customers.revoke_key(made.key_id, rig.revoked(made))
    await rig.door.look()
    assert rig.shard.peers.names == []
    assert NO_REGION_YET not in rig.shard.peers.names


async def test_two_agents_of_a_region_share_its_work(rig: AgentRig, target: Site) -> None:
    token, _ = await rig.key(FRA)
    for name in ("first", "second"):
        await rig.join(FRA, name, token)
    url = target.on("/slow", Reply(after_s=0.5))
    jobs = [await rig.submit(url, FRA) for _ in range(20)]
    nodes = rig.shard.peers.region(FRA).nodes
    await rig.until(lambda: sum(node.attempts_open for node in nodes) >= 10)
    assert all(0 < node.attempts_open < ATTEMPTS_CREDIT for node in nodes)
    assert abs(nodes[0].attempts_open - nodes[1].attempts_open) <= 1
    assert {(await rig.ended(job)).state for job in jobs} == {JobState.SUCCESS}


async def test_a_stopped_agents_work_goes_to_the_other_at_once(rig: AgentRig, target: Site) -> None:
    token, _ = await rig.key(FRA)
    first, _ = [await rig.join(FRA, name, token) for name in ("first", "second")]
    replies = [Reply(after_s=60)] * 2 + [Reply()]
    url = target.on("/handed-on", *replies)
    jobs = [await rig.submit(url, FRA) for _ in range(2)]
    await rig.until(lambda: len(target.seen("/handed-on")) == 2)
    await first.stop()
    await rig.until(lambda: len(target.seen("/handed-on")) == 3)
    del jobs


async def test_where_an_agent_is_is_told(rig: AgentRig) -> None:
    await rig.join(FRA)
    await rig.door.look()
    (node,) = rig.shard.peers.region(FRA).nodes
    placement = rig.shard.peers.view(node).placement
    assert placement is not None
    assert (placement.host, placement.address, placement.version) == ("one", "127.0.0.1", VERSION)


async def test_a_revoked_key_closes_its_connections(rig: AgentRig) -> None:
    token, made = await rig.key(FRA)
    intruder = await rig.intruder(token)
    await rig.store.customers.revoke_key(made.key_id, rig.revoked(made))
    assert await intruder.is_hung_up_on()


async def test_a_key_that_expires_closes_its_connections_and_its_use_is_listed(rig: AgentRig) -> None:
    token, made = await rig.key(FRA, expires_ms=rig.clock.unix_ms() + 2_000)
    intruder = await rig.intruder(token)
    await rig.door.look()
    (listed,) = await rig.store.customers.keys()
    assert listed.used_ms == hour_of(made.created_ms)
    assert await intruder.is_hung_up_on()


async def test_an_agent_of_the_version_before_is_spoken_to_in_that(rig: AgentRig, target: Site) -> None:
    token, _ = await rig.key(FRA)
    before = WIRE_VERSION - 1
    batches, beats = await rig.stranger(), await rig.stranger()
    for stranger, purpose in ((batches, Purpose.BATCHES), (beats, Purpose.BEATS)):
        stranger.say(FrameKind.HELLO, written(a_hello(token, purpose=purpose, versions=[before])))
        _, payload = await stranger.hear()
        assert read(payload, Welcome).version == before
    for _ in range(2):
        await beats.beat(rig.shard.epoch)
    await rig.submit(target.url("/old"), FRA)
    kind, batch = await batches.hear()
    assert (kind, batch[1]) == (FrameKind.BATCH, before)
    batches.close()
    beats.close()


async def test_a_killed_agents_region_is_suspect_and_then_down(rig: AgentRig) -> None:
    token, _ = await rig.key(FRA)
    beats = await rig.intruder(token, Purpose.BEATS)
    await beats.beat(rig.shard.epoch)
    assert rig.shard.peers.region(FRA).health is RegionHealth.UP
    beats.close()
    await rig.until(lambda: rig.shard.peers.region(FRA).health is RegionHealth.DOWN)


async def test_losing_one_of_two_gateways_fences_nothing(rig: AgentRig, target: Site) -> None:
    async with holding_relay(rig.port) as first, holding_relay(rig.port) as second:
        await rig.join(FRA, ports=[first.port, second.port])
        (node,) = rig.shard.peers.region(FRA).nodes
        await rig.until(lambda: len(rig.door.exchange._known) == 4)
        job = await rig.submit(target.on("/goes-on", Reply(after_s=4.0)), FRA)
        await rig.until(lambda: bool(target.seen("/goes-on")))
        first.close()
        first.cut()
        stored = await rig.ended(job)
        assert stored.state is JobState.SUCCESS
        assert len(target.seen("/goes-on")) == 1
        assert node.health is RegionHealth.UP


async def test_a_path_that_was_cut_is_dialled_anew(rig: AgentRig, target: Site) -> None:
    async with holding_relay(rig.port) as path:
        await rig.join(FRA, ports=[path.port])
        path.cut()
        await rig.until(lambda: rig.shard.peers.region(FRA).health is RegionHealth.DOWN)
        path.heal()
        healed = rig.clock.now()
        await rig.until(lambda: rig.is_up(FRA, "one"))
        assert rig.clock.now() - healed < 10
        assert (await rig.run(target.url("/after-the-cut"), FRA)).state is JobState.SUCCESS


async def test_an_agent_for_named_jobs_only_stands_in_for_no_other_region(
    rig: AgentRig, target: Site
) -> None:
    await rig.key(LAX)
    await rig.join(FRA, only_named=True)
    await rig.door.look()
    elsewhere = await rig.submit(target.url("/elsewhere"), LAX)
    assert (await rig.run(target.url("/named"), FRA)).state is JobState.SUCCESS
    assert (await rig.run(target.url("/listed"), LAX, FRA)).state is JobState.SUCCESS
    assert target.seen("/elsewhere") == []
    await rig.join(LAX)
    assert (await rig.ended(elsewhere)).state is JobState.SUCCESS
    assert [seen.headers["x-ezthrottle-region"] for seen in target.seen("/elsewhere")] == [LAX]


async def test_a_job_that_names_no_region_is_not_for_an_agent_of_named_ones(rig: AgentRig) -> None:
    await rig.join(FRA, only_named=True)
    assert rig.shard.peers.default() is None
    await rig.join(LAX)
    assert rig.shard.peers.default() == LAX
    (node,) = rig.shard.peers.region(FRA).nodes
    assert rig.shard.peers.view(node).only_named


async def test_each_end_asks_whether_the_other_is_there_and_gives_up_what_says_nothing(rig: AgentRig) -> None:
    agent = await rig.join(FRA)
    (known, *_) = rig.door.exchange._known.values()
    for link in (known.link, agent._transport._way.latest()):
        assert link._transport is not None
        same = link._transport.get_extra_info("socket")
        assert same.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert same.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == ASKED_AFTER_S
        assert same.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == GIVEN_UP_AFTER_MS
