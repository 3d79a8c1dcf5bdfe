"""How the driver looks after the regions' actors, whatever Ray answers and whenever it does."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import ray

from orchestrator.adapters.ray.region_actors import (
    AGAIN_FIRST_S,
    AGAIN_MOST_S,
    ASK_EVERY_S,
    LOOK_EVERY_S,
    STARTS_WITHIN_S,
    TELL_EVERY_S,
    RegionActor,
    RegionActors,
)
from orchestrator.domain.cluster.placement import PlacementState

RESOURCE = "region:lax"
WHERE = {"host": "west", "address": "10.0.0.7", "version": "0.1.0"}
START_FAILED = ray.exceptions.RayError(
    "The actor died: ray::ExecutorActor.__init__() (pid=7, ip=10.0.0.7)\n"
    "  File x.py, line 1\n\x1b[36mModuleNotFoundError: No module named 'regions'\x1b[39m\n"
)


class Answer:
    """What a question to an actor comes to: nothing yet, a value or an error."""

    def __init__(self) -> None:
        self.came: Any = None


@dataclass
class InMemoryRay:
    """The calls of Ray's that are made: questions are answered when a test says so."""

    now: float = 0.0
    offers: dict[str, float] = field(default_factory=lambda: {RESOURCE: 1000.0})
    asked: list[Answer] = field(default_factory=list)
    made: int = 0
    killed: int = 0
    refuses: Exception | None = None

    def make(self) -> Any:
        if self.refuses is not None:
            raise self.refuses
        self.made += 1
        return self

    @property
    def where(self) -> Any:
        return self

    def remote(self) -> Answer:
        self.asked.append(Answer())
        return self.asked[-1]

    def wait(self, answers: list[Answer], timeout: float) -> tuple[list[Answer], list[Answer]]:
        assert timeout == 0, "nobody may wait for an answer"
        return [each for each in answers if each.came], [each for each in answers if not each.came]

    def get(self, answer: Answer) -> Any:
        if isinstance(answer.came, Exception):
            raise answer.came
        return answer.came

    def kill(self, actor: Any) -> None:
        assert actor is self
        self.killed += 1


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch) -> InMemoryRay:
    in_memory = InMemoryRay()
    for name in ("wait", "get", "kill"):
        monkeypatch.setattr(ray, name, getattr(in_memory, name))
    return in_memory


@pytest.fixture
def actor(in_memory: InMemoryRay) -> RegionActor:
    return RegionActor(in_memory.make, RESOURCE, lambda: in_memory.offers, lambda: in_memory.now)


@pytest.fixture
def passes(in_memory: InMemoryRay, actor: RegionActor) -> Callable[[float], None]:
    """Let time pass, in which the driver looks."""

    def passes(seconds: float) -> None:
        for _ in range(round(seconds / LOOK_EVERY_S)):
            in_memory.now += LOOK_EVERY_S
            actor.look()

    actor.look()
    return passes


Passes = Callable[[float], None]


def test_an_actor_that_answers_runs_where_it_says(
    in_memory: InMemoryRay, actor: RegionActor, passes: Passes
) -> None:
    in_memory.asked[-1].came = WHERE
    passes(LOOK_EVERY_S)
    placement = actor.placement
    assert (placement.state, placement.host, placement.address) == (PlacementState.RUNS, "west", "10.0.0.7")


def test_one_that_runs_is_asked_again_and_again_whether_it_does(
    in_memory: InMemoryRay, passes: Passes
) -> None:
    for asked in range(1, 4):
        assert len(in_memory.asked) == asked
        in_memory.asked[-1].came = WHERE
        passes(ASK_EVERY_S)
        passes(2 * LOOK_EVERY_S)


def test_an_actor_whose_resource_nobody_offers_is_pending_until_somebody_does(
    in_memory: InMemoryRay, actor: RegionActor, passes: Passes
) -> None:
    in_memory.offers.clear()
    passes(STARTS_WITHIN_S + LOOK_EVERY_S)
    assert actor.placement.state is PlacementState.PENDING
    assert actor.placement.reason == "no node of the cluster offers region:lax"
    in_memory.offers[RESOURCE] = 1000
    passes(LOOK_EVERY_S)
    assert actor.placement.state is PlacementState.STARTING
    assert in_memory.made == 1, "what Ray will start by itself was made anew"


def test_one_that_takes_long_to_answer_still_runs_where_it_ran(
    in_memory: InMemoryRay, actor: RegionActor, passes: Passes
) -> None:
    in_memory.asked[-1].came = WHERE
    passes(ASK_EVERY_S + 10)
    assert actor.placement.state is PlacementState.RUNS


def test_a_start_that_failed_is_told_with_the_errors_last_line_and_where(
    in_memory: InMemoryRay, actor: RegionActor, passes: Passes
) -> None:
    in_memory.asked[-1].came = START_FAILED
    passes(LOOK_EVERY_S)
    placement = actor.placement
    assert placement.reason == "its start failed: ModuleNotFoundError: No module named 'regions'"
    assert (placement.state, placement.address) == (PlacementState.FAILED, "10.0.0.7")
    assert in_memory.killed == 1


def test_why_a_start_failed_is_told_until_another_has_succeeded(
    in_memory: InMemoryRay, actor: RegionActor, passes: Passes
) -> None:
    in_memory.asked[-1].came = START_FAILED
    passes(LOOK_EVERY_S)
    failed = actor.placement
    passes(AGAIN_FIRST_S + STARTS_WITHIN_S + 5 * LOOK_EVERY_S)
    assert (in_memory.made, actor.placement) == (2, failed)
    in_memory.asked[-1].came = WHERE
    passes(LOOK_EVERY_S)
    assert (actor.placement.state, actor.placement.reason) == (PlacementState.RUNS, "")


def test_a_start_that_fails_again_and_again_is_made_anew_after_growing_pauses(
    in_memory: InMemoryRay, passes: Passes
) -> None:
    pauses = [AGAIN_FIRST_S * 2**number for number in range(5)] + [AGAIN_MOST_S] * 2
    for pause in pauses:
        in_memory.asked[-1].came = START_FAILED
        made = in_memory.made
        passes(LOOK_EVERY_S)
        passes(pause - LOOK_EVERY_S)
        assert in_memory.made == made
        passes(LOOK_EVERY_S)
        assert in_memory.made == made + 1


def test_after_it_has_run_the_pauses_begin_anew(in_memory: InMemoryRay, passes: Passes) -> None:
    for _ in range(4):
        in_memory.asked[-1].came = START_FAILED
        passes(AGAIN_MOST_S + 2 * LOOK_EVERY_S)
    in_memory.asked[-1].came = WHERE
    passes(ASK_EVERY_S + LOOK_EVERY_S)
    in_memory.asked[-1].came = START_FAILED
    made = in_memory.made
    passes(AGAIN_FIRST_S + LOOK_EVERY_S)
    assert in_memory.made == made + 1


def test_one_that_ray_starts_again_is_asked_at_once_and_not_made_anew(
    in_memory: InMemoryRay, actor: RegionActor, passes: Passes
) -> None:
    in_memory.asked[-1].came = WHERE
    passes(ASK_EVERY_S + LOOK_EVERY_S)
    in_memory.asked[-1].came = ray.exceptions.ActorUnavailableError("on its way", None)
    asked = len(in_memory.asked)
    passes(2 * LOOK_EVERY_S)
    assert actor.placement.state is PlacementState.STARTING
    assert (len(in_memory.asked), in_memory.made, in_memory.killed) == (asked + 1, 1, 0)


def test_a_name_that_is_still_taken_is_tried_again(in_memory: InMemoryRay) -> None:
    in_memory.refuses = ValueError("The name executor-lax is already taken")
    actor = RegionActor(in_memory.make, RESOURCE, lambda: in_memory.offers, lambda: in_memory.now)
    actor.look()
    assert actor.placement.state is PlacementState.FAILED
    in_memory.refuses = None
    in_memory.now += AGAIN_FIRST_S
    actor.look()
    assert in_memory.made == 1


def test_one_that_is_bound_to_this_machine_waits_for_no_resource(in_memory: InMemoryRay) -> None:
    actor = RegionActor(in_memory.make, None, dict, lambda: in_memory.now)
    actor.look()
    in_memory.now += STARTS_WITHIN_S + LOOK_EVERY_S
    actor.look()
    assert actor.placement.state is PlacementState.STARTING


def test_the_shard_is_told_of_what_changed_at_once_and_of_all_again_and_again(
    in_memory: InMemoryRay, actor: RegionActor
) -> None:
    told: list[dict[str, Any]] = []
    actors = RegionActors({"lax/executor-lax": actor}, told.append, lambda: in_memory.now)
    assert len(told) == 1
    in_memory.now += LOOK_EVERY_S
    actors.look()
    assert len(told) == 1
    in_memory.asked[-1].came = WHERE
    actors.look()
    assert [found["lax/executor-lax"]["state"] for found in told] == ["starting", "runs"]
    in_memory.now += TELL_EVERY_S
    actors.look()
    assert told[2] == told[1], "a shard that was started anew knows nothing of it"


@pytest.mark.parametrize(
    ("came", "offered", "troubled"),
    [(None, True, False), (None, False, True), (START_FAILED, True, True), (WHERE, True, False)],
    ids=["it starts", "nobody offers it", "its start failed", "it runs"],
)
def test_what_hinders_a_region_is_listed(
    in_memory: InMemoryRay, actor: RegionActor, came: Any, *, offered: bool, troubled: bool
) -> None:
    actors = RegionActors({"lax/executor-lax": actor}, lambda _found: None, lambda: in_memory.now)
    in_memory.asked[-1].came = came
    if not offered:
        in_memory.offers.clear()
    in_memory.now += STARTS_WITHIN_S + LOOK_EVERY_S
    actors.look()
    assert bool(actors.troubles()) is troubled
