"""Which steps lead from what runs to what should run: tables of what is there, and of what is due."""

import pytest

from orchestrator.domain.cluster.deployment import Act, Part, PartState, Seen, Step, plan, unsettled
from orchestrator.domain.ids import RegionName
from orchestrator.messages.names import group_of, parts_of

PATIENCE_S = 10.0
IAD, LAX = RegionName("iad"), RegionName("us-west-2")
NEW = parts_of({IAD: 1, LAX: 2}, "bbbbbbbb", "dddddddd")
OLD = parts_of({IAD: 1, LAX: 2}, "aaaaaaaa", "cccccccc")
SHARD, WEBHOOKS, EXECUTOR_IAD, LAX_1, LAX_2 = (part.name for part in NEW)
OLD_SHARD, OLD_WEBHOOKS, OLD_IAD, OLD_LAX_1, OLD_LAX_2 = (part.name for part in OLD)
S = PartState


def there(parts: list[Part], state: PartState = S.READY, **shard: PartState) -> dict[str, Seen]:
    """Say that parts are there, nodes in a state, the shard serving."""
    first = shard.get("shard", S.SERVES)
    states = [first if part.group == "shard" else state for part in parts]
    return {part.name: Seen(group=part.group, state=now) for part, now in zip(parts, states, strict=True)}


def leaving(part: Part, for_s: float, busy: int, *, counted: bool) -> dict[str, Seen]:
    seen = Seen(group=part.group, state=S.READY, busy=busy, leaving_s=for_s, counted=counted)
    return {part.name: seen}


def due(seen: dict[str, Seen], wanted: list[Part] = NEW) -> list[Step]:
    return plan(wanted, seen, patience_s=PATIENCE_S)


def steps(act: Act, *names: str) -> list[Step]:
    return [Step(act, name) for name in names]


def test_where_nothing_is_all_is_started_at_once() -> None:
    assert due({}) == steps(Act.START, *(part.name for part in NEW))


def test_where_all_is_as_it_should_be_nothing_is_due() -> None:
    assert (due(there(NEW)), unsettled(NEW, there(NEW))) == ([], [])


def test_the_shard_is_replaced_before_any_node() -> None:
    assert due(there(OLD)) == steps(Act.START, SHARD)


@pytest.mark.parametrize("state", [S.STARTING, S.BLOCKED])
def test_a_shard_makes_no_room_before_its_successor_has_checked_everything(state: PartState) -> None:
    assert due(there(OLD) | there(NEW[:1], shard=state)) == []


def test_a_shard_makes_room_for_the_one_that_waits() -> None:
    assert due(there(OLD) | there(NEW[:1], shard=S.READY)) == steps(Act.HAND_OVER, OLD_SHARD)


SHARD_DONE = there(NEW[:1]) | there(OLD[1:])
WEBHOOKS_DONE = there(NEW[:2]) | there(OLD[2:])
IAD_DONE = there(NEW[:3]) | there(OLD[3:])


def test_then_group_by_group_follows() -> None:
    assert due(SHARD_DONE) == steps(Act.START, WEBHOOKS)
    assert due(WEBHOOKS_DONE) == steps(Act.START, EXECUTOR_IAD)
    assert due(IAD_DONE) == steps(Act.START, LAX_1, LAX_2)


def test_nobody_leaves_before_all_of_its_region_take_work_in_its_place() -> None:
    one_is_late = IAD_DONE | there(NEW[3:4]) | there(NEW[4:5], S.STARTING)
    assert due(one_is_late) == []
    assert due(IAD_DONE | there(NEW[3:])) == steps(Act.LEAVE, OLD_LAX_1, OLD_LAX_2)


@pytest.mark.parametrize(
    ("for_s", "busy", "counted", "ends"),
    [(9.0, 0, False, False), (0.3, 0, True, True), (1.5, 3, True, False), (PATIENCE_S, 3, True, True)],
    ids=["not counted since", "nothing under way", "something under way", "out of patience"],
)
def test_a_node_ends_once_it_has_nothing_under_way_or_patience_is_over(
    for_s: float, busy: int, counted: bool, ends: bool
) -> None:
    seen = there(NEW[:3]) | leaving(OLD[2], for_s, busy, counted=counted) | there(OLD[3:])
    ended = steps(Act.END, OLD_IAD) if ends else []
    assert due(seen) == ended, "the next region has to wait for this one"


def test_a_region_whose_machine_is_missing_holds_up_no_other() -> None:
    no_machine = WEBHOOKS_DONE | there(NEW[2:3], S.BLOCKED)
    assert due(no_machine) == steps(Act.START, LAX_1, LAX_2)
    assert EXECUTOR_IAD in unsettled(NEW, no_machine)


def test_a_region_that_nobody_wants_any_more_leaves_without_a_successor() -> None:
    fewer = parts_of({IAD: 1}, "bbbbbbbb", "dddddddd")
    seen = there(fewer) | there(NEW[3:])
    assert due(seen, fewer) == steps(Act.LEAVE, LAX_1, LAX_2)
    assert unsettled(fewer, seen) == [LAX_1, LAX_2]


def test_one_executor_less_or_more_is_nothing_to_the_others() -> None:
    one = parts_of({IAD: 1, LAX: 1}, "bbbbbbbb", "dddddddd")
    assert due(there(NEW), one) == steps(Act.LEAVE, LAX_2)
    assert due(there(one)) == steps(Act.START, LAX_2)


def test_a_name_says_what_its_actor_is_a_part_of() -> None:
    assert [group_of(part.name) for part in NEW] == [part.group for part in NEW]
    assert [part.group for part in NEW] == ["shard", "@webhooks", "iad", "us-west-2", "us-west-2"]
    others = ("shard-0", "executor-iad", "webhooks", "controller.aaaaaaaa", "somebody.elses1")
    assert {group_of(name) for name in others} == {None}
