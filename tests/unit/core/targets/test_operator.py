"""What an operator does to a target, against what the target then sees; and what is shown of it meanwhile."""

import asyncio
import math

import pytest
from msgspec.structs import replace

from orchestrator.adapters.memory.jobs import MemoryJobs
from orchestrator.domain.access.audit import Act, AuditFilter
from orchestrator.domain.access.roles import Caller, Role
from orchestrator.domain.ids import CustomerId, TargetDomain, target_domain
from orchestrator.domain.jobs.job import RetryPolicy
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.pace.active_limits import ActiveLimitKind, Scope
from orchestrator.domain.pace.overruling import SetPace
from orchestrator.domain.pace.pacing import Pace
from orchestrator.ports.store import StoreFailure
from tests.support.long import some_of
from tests.support.rig import URL, Call, Reply, Rig, in_virtual_time

DOMAIN = target_domain(URL)
OPS = Caller(CustomerId("cust_ops"), Role.ADMIN, "key_of_ops")
SLOW = Pace(2.0, 2)
ONCE = RetryPolicy(max_retries=0)


async def queue(rig: Rig, count: int, **fields: object) -> None:
    for number in range(count):
        await rig.submit(body=str(number), **fields)


async def starts_in(rig: Rig, seconds: float) -> int:
    before = len(rig.calls)
    await asyncio.sleep(seconds)
    return len(rig.calls) - before


def shown_rps(rig: Rig) -> float:
    return rig.shard.targets.view(rig.shard.targets.domains.look(DOMAIN)).effective(None).rps


def shown_kind(rig: Rig) -> ActiveLimitKind | None:
    limit = rig.shard.targets.view(rig.shard.targets.domains.look(DOMAIN)).effective(None).limit
    return limit and limit.kind


@in_virtual_time(SLOW)
async def test_each_act_is_in_the_audit_with_who_did_what_and_from_where(rig: Rig) -> None:
    ops, operator = replace(OPS, origin="192.0.2.7"), rig.shard.operator
    await operator.pause(ops, DOMAIN)
    await operator.resume(ops, DOMAIN)
    await operator.set_pace(ops, DOMAIN, SetPace(rps=5.0))
    await operator.set_pace(ops, DOMAIN, SetPace())
    await operator.reset(ops, DOMAIN)
    entries = [line.entry for line in reversed(await rig.store.audit.lines(AuditFilter(), 10))]
    assert [(entry.act, entry.detail.get("rps")) for entry in entries] == [
        (Act.DOMAIN_PAUSED, None),
        (Act.DOMAIN_RESUMED, None),
        (Act.PACE_SET, 5.0),
        (Act.PACE_LIFTED, None),
        (Act.DOMAIN_RESET, None),
    ]
    assert {(entry.who, entry.customer, entry.origin, entry.subject) for entry in entries} == {
        ("key_of_ops", "cust_ops", "192.0.2.7", DOMAIN)
    }


@in_virtual_time(SLOW)
async def test_a_paused_target_sees_nothing_until_it_is_let_go_a_restart_between(rig: Rig) -> None:
    await rig.shard.operator.pause(OPS, DOMAIN)
    await queue(rig, 5)
    assert await starts_in(rig, 30.0) == 0
    await rig.restart()
    assert await starts_in(rig, 30.0) == 0
    assert shown_rps(rig) == 0.0
    assert math.isinf(rig.shard.targets.view(rig.shard.targets.limiter(DOMAIN)).next_start_s(None))
    await rig.shard.operator.resume(OPS, DOMAIN)
    assert await starts_in(rig, 5.0) == 5
    await rig.restart()
    await queue(rig, 5)
    assert await starts_in(rig, 8.0) == 5


@in_virtual_time(SLOW)
async def test_jobs_of_a_paused_target_keep_their_deadlines(rig: Rig) -> None:
    await rig.shard.operator.pause(OPS, DOMAIN)
    hasty, patient = await rig.submit(deadline_ms=10_000), await rig.submit(deadline_ms=100_000)
    await asyncio.sleep(12.0)
    assert (await rig.show(hasty)).state is JobState.FAILED
    await rig.shard.operator.resume(OPS, DOMAIN)
    assert (await rig.ended(patient)).state is JobState.SUCCESS


@in_virtual_time(SLOW)
async def test_a_target_that_nobody_has_called_can_be_paused_before(rig: Rig) -> None:
    other = TargetDomain("never.example.com")
    await rig.shard.operator.pause(OPS, other)
    await rig.submit(url="https://never.example.com/")
    assert await starts_in(rig, 10.0) == 0
    assert other not in await rig.store.jobs.paces()


@in_virtual_time(SLOW)
async def test_a_set_pace_holds_against_what_the_target_states_and_over_a_restart(rig: Rig) -> None:
    rig.answer = lambda _call: Reply(headers={"x-ezthrottle-rps": "0.5"})
    await queue(rig, 1_000)
    await asyncio.sleep(5.0)
    assert (shown_rps(rig), await starts_in(rig, 20.0)) in ((0.5, 9), (0.5, 10))
    await rig.shard.operator.set_pace(OPS, DOMAIN, SetPace(rps=20.0, max_concurrent=20))
    assert 180 <= await starts_in(rig, 10.0) <= 201
    await rig.restart()
    await asyncio.sleep(5.0)
    assert shown_rps(rig) == 20.0
    assert 180 <= await starts_in(rig, 10.0) <= 201
    await rig.shard.operator.set_pace(OPS, DOMAIN, SetPace())
    await asyncio.sleep(5.0)
    assert (shown_rps(rig), await starts_in(rig, 20.0)) in ((0.5, 9), (0.5, 10))


@in_virtual_time(SLOW)
async def test_a_set_pace_ends_at_its_time_be_it_during_a_restart(rig: Rig) -> None:
    await queue(rig, 1_000)
    until = rig.clock.unix_ms() + 20_000
    await rig.shard.operator.set_pace(OPS, DOMAIN, SetPace(rps=20.0, max_concurrent=20, until_ms=until))
    assert 180 <= await starts_in(rig, 10.0) <= 201
    await asyncio.sleep(11.0)
    assert 18 <= await starts_in(rig, 10.0) <= 21
    until = rig.clock.unix_ms() + 2_000
    await rig.shard.operator.set_pace(OPS, DOMAIN, SetPace(rps=20.0, until_ms=until))
    await rig.restart()
    await asyncio.sleep(5.0)
    assert 18 <= await starts_in(rig, 10.0) <= 21
    assert not rig.shard.targets.limiter(DOMAIN).overruling


@in_virtual_time(SLOW)
async def test_a_set_pace_replaces_the_waits_of_before_and_keeps_those_that_are_named_since(rig: Rig) -> None:
    rig.answer = lambda _call: Reply(status=503, headers={"retry-after": "600"})
    await queue(rig, 200)
    await asyncio.sleep(5.0)
    assert await starts_in(rig, 30.0) == 0
    rig.answer = lambda _call: Reply()
    await rig.shard.operator.set_pace(OPS, DOMAIN, SetPace(rps=10.0, max_concurrent=10))
    assert 45 <= await starts_in(rig, 5.0) <= 51
    rig.answer = lambda _call: Reply(status=503, headers={"retry-after": "60"})
    await asyncio.sleep(1.0)
    assert (await starts_in(rig, 30.0), shown_rps(rig), shown_kind(rig)) == (0, 0.0, ActiveLimitKind.PAUSE)


@in_virtual_time(Pace(20.0, 20))
async def test_after_a_reset_a_target_that_was_slowed_goes_at_its_own_pace_and_a_restart_brings_nothing_back(
    rig: Rig,
) -> None:
    rig.answer = lambda _call: Reply(status=429)
    await queue(rig, 600)
    await asyncio.sleep(60.0)
    slowed = shown_rps(rig)
    assert (slowed < 5.0, shown_kind(rig)) == (True, ActiveLimitKind.SLOWED)
    rig.answer = lambda _call: Reply()
    await rig.shard.operator.reset(OPS, DOMAIN)
    assert shown_rps(rig) == 20.0
    assert 85 <= await starts_in(rig, 5.0) <= 101
    await rig.restart()
    await asyncio.sleep(5.0)
    assert shown_rps(rig) == 20.0


@in_virtual_time(Pace(20.0, 20))
async def test_a_reset_closes_breakers_and_fills_the_budget_of_repeats(rig: Rig) -> None:
    rig.answer = lambda _call: Reply(status=500)
    await queue(rig, 400)
    await asyncio.sleep(60.0)
    assert shown_kind(rig) is ActiveLimitKind.BREAKER
    assert await starts_in(rig, 20.0) <= 20 * shown_rps(rig) + 2 <= 20
    rig.answer = lambda _call: Reply()
    await rig.shard.operator.reset(OPS, DOMAIN)
    assert shown_kind(rig) is None
    assert 85 <= await starts_in(rig, 5.0) <= 101


@in_virtual_time(SLOW)
async def test_a_reset_leaves_what_the_operator_set_and_each_act_has_its_end(rig: Rig) -> None:
    await rig.shard.operator.set_pace(OPS, DOMAIN, SetPace(rps=9.0))
    await rig.shard.operator.pause(OPS, DOMAIN)
    await rig.shard.operator.reset(OPS, DOMAIN)
    said = rig.shard.targets.domains.overruling(DOMAIN)
    assert said.pace is not None
    assert said.pause is not None
    assert (said.pace.rps, said.pace.by, said.pause.by) == (9.0, "key_of_ops", "key_of_ops")
    await rig.shard.operator.resume(OPS, DOMAIN)
    await rig.shard.operator.set_pace(OPS, DOMAIN, SetPace())
    assert not rig.shard.targets.domains.overruling(DOMAIN)
    assert await rig.store.jobs.overrulings() == {}


@in_virtual_time(SLOW)
async def test_what_could_not_be_written_has_changed_nothing(rig: Rig) -> None:
    async def full(*_: object) -> None:
        raise StoreFailure("disk full")

    await queue(rig, 100)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(MemoryJobs, "save_overruling", full)
        operator = rig.shard.operator
        for act in (operator.pause(OPS, DOMAIN), operator.set_pace(OPS, DOMAIN, SetPace(rps=50.0))):
            with pytest.raises(StoreFailure):
                await act
    assert 18 <= await starts_in(rig, 10.0) <= 21
    assert not rig.shard.targets.domains.overruling(DOMAIN)


@in_virtual_time(SLOW)
async def test_acts_that_come_at_once_lose_none_of_each_other(rig: Rig) -> None:
    operator = rig.shard.operator
    await asyncio.gather(
        operator.pause(OPS, DOMAIN),
        operator.set_pace(OPS, DOMAIN, SetPace(rps=9.0)),
        operator.reset(OPS, DOMAIN),
    )
    said = rig.shard.targets.domains.overruling(DOMAIN)
    assert (said.pause is not None, said.pace is not None) == (True, True)
    assert (await rig.store.jobs.overrulings())[DOMAIN] == said


@in_virtual_time(SLOW)
async def test_what_was_reset_does_not_come_back_when_an_idle_target_is_called_again(rig: Rig) -> None:
    rig.answer = lambda _call: Reply(headers={"x-ezthrottle-rps": "7"})
    await rig.run()
    await rig.restart()
    rig.answer = lambda _call: Reply()
    assert rig.shard.targets.limiter(DOMAIN).pace.rps == 7.0
    await rig.shard.operator.reset(OPS, DOMAIN)
    await asyncio.sleep(2_000.0)
    assert DOMAIN not in rig.shard.targets.domains
    assert rig.shard.targets.limiter(DOMAIN).pace == SLOW


def _refusing(call: Call) -> Reply:
    """Let 3 a second through."""
    second = int(call.at)
    _refusing.seen[second] = _refusing.seen.get(second, 0) + 1  # type: ignore[attr-defined]  # a test's count
    return Reply() if _refusing.seen[second] <= 3 else Reply(status=429)  # type: ignore[attr-defined]  # the same


_refusing.seen = {}  # type: ignore[attr-defined]  # the same
BUDGET = {"x-ratelimit-limit": "1000", "x-ratelimit-remaining": "30", "x-ratelimit-reset": "300"}


ANSWERS = [
    lambda _call: Reply(),
    lambda _call: Reply(status=429),
    lambda _call: Reply(status=503),
    lambda _call: Reply(status=500),
    lambda _call: Reply(headers={"x-ezthrottle-rps": "0.2"}),
    lambda _call: Reply(status=429, headers={"retry-after": "7"}),
    lambda call: Reply(headers=BUDGET) if call.at < 1_030 else Reply(),
    _refusing,
    lambda call: Reply(status=503 if call.url.endswith("bad") else 200, headers={"x-ezthrottle-rps": "15"}),
]


@pytest.mark.parametrize("answer", some_of(ANSWERS, ANSWERS[0], ANSWERS[4], ANSWERS[6], _refusing))
@pytest.mark.parametrize("account", [None, "one"])
def test_the_pace_that_is_shown_is_the_pace_that_goes(answer: object, account: str | None) -> None:
    async def story(rig: Rig) -> None:
        rig.answer = answer  # type: ignore[assignment]  # one of those above
        await queue(rig, 3, url=f"{URL}bad", account=account)
        await queue(rig, 1_400, account=account)
        await asyncio.sleep(20.0)
        for _ in range(6):
            shown = [shown_rps(rig)]
            began = len(rig.calls)
            for _ in range(5):
                await asyncio.sleep(2.0)
                shown.append(shown_rps(rig))
            went = (len(rig.calls) - began) / 10
            assert min(shown) * 0.7 - 0.5 <= went <= max(shown) * 1.1 + 0.5, (shown, went)

    in_virtual_time(replace(SLOW, rps=10.0, max_concurrent=50))(story)()


@in_virtual_time(replace(SLOW, rps=20.0, max_concurrent=50))
async def test_a_path_in_trouble_is_shown_and_why_its_jobs_go_so_slowly(rig: Rig) -> None:
    rig.answer = lambda call: Reply(status=503 if call.url.endswith("/bad") else 200)
    await queue(rig, 8, url=f"{URL}bad", method="POST")
    await queue(rig, 600, url=f"{URL}ok")
    await asyncio.sleep(10.0)
    view = rig.shard.targets.view(rig.shard.targets.limiter(DOMAIN))
    troubles = [limit for limit in view.signals(None) if limit.kind is ActiveLimitKind.TROUBLE]
    assert [(limit.source, limit.binds) for limit in troubles] == [("POST /bad", Scope.PATH)]
    assert 0 < (troubles[0].rps or 0) <= 0.4
    assert shown_rps(rig) > 10
    await asyncio.sleep(90.0)
    assert rig.shard.targets.limiter(DOMAIN).waiting <= 8
    await rig.shard.operator.reset(OPS, DOMAIN)
    view = rig.shard.targets.view(rig.shard.targets.limiter(DOMAIN))
    assert not [limit for limit in view.signals(None) if limit.kind is ActiveLimitKind.TROUBLE]
