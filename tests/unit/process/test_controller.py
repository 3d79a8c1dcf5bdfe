"""What the controller tells of a shard whose starts fail, over a Ray in memory and in virtual time."""

from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import ray

from orchestrator.adapters.ray.controller import LOOK_EVERY_S, Controller
from orchestrator.adapters.ray.deployment import Deployment
from orchestrator.adapters.ray.life import ShardLife
from orchestrator.adapters.ray.region_actors import ASK_EVERY_S
from orchestrator.domain.cluster.deployment import SHARD_GROUP, Part, PartState
from orchestrator.domain.cluster.failed_starts import FAILED_FROM
from orchestrator.settings import Settings

WHERE = {"host": "east", "address": "10.0.0.1", "version": "0.1.0"}
UNAVAILABLE = ray.exceptions.ActorUnavailableError("it is started again", None)
FULL = OSError("the disk is full")
LONG_S = 2 * ASK_EVERY_S
"""So long that each actor is asked where it is meanwhile."""


class Question:
    """A method of an actor: its answer is there at the next look."""

    def __init__(self, answer: Callable[[], Any]) -> None:
        self._answer = answer

    def remote(self, *_arguments: object) -> Any:
        try:
            return self._answer()
        except ray.exceptions.RayError as error:
            return error


class InMemoryActor:
    """An actor that Ray starts again whenever its process ends. ``word`` is a shard's answer; None: it is
    being started.
    """

    def __init__(self) -> None:
        self.word: Callable[[], tuple[PartState, str]] | None = lambda: (PartState.STARTING, "starting")
        self.where = Question(lambda: self._alive() and WHERE)
        self.attend = Question(lambda: (*self._alive()(), {}))

    def _alive(self) -> Callable[[], tuple[PartState, str]]:
        if self.word is None:
            raise UNAVAILABLE
        return self.word


class InMemoryCluster:
    """The shard's actor, the webhooks', and a controller that looks as time passes."""

    def __init__(self, settings: Settings) -> None:
        self.now = 0.0
        self._actors: dict[str, InMemoryActor] = {}
        deployment = Deployment(settings.carry(), {}, "build")
        deployment.maker = self._maker  # type: ignore[method-assign]  # what would make a Ray actor
        self._controller = Controller(deployment, lambda: self.now)
        self._name = next(part.name for part in deployment.parts if part.group == SHARD_GROUP)

    def _maker(self, part: Part) -> Callable[[], Any]:
        return lambda: self._actors.setdefault(part.name, InMemoryActor())

    def passes(self, seconds: float) -> list[tuple[str, str]]:
        """Let time pass; give what was told of the shard at each look: its state, and why."""
        told = []
        for _ in range(round(seconds / LOOK_EVERY_S)):
            self.now += LOOK_EVERY_S
            self._controller.look()
            parts = {part["part"]: part for part in self._controller.status["parts"]}
            told += [(parts[self._name]["state"], parts[self._name]["reason"])] if parts else []
        return told

    def begins(self, life: ShardLife) -> None:
        """Let a life of the shard answer from now on."""
        self._actors[self._name].word = lambda: (life.state, life.reason)

    def serves(self) -> None:
        """Let the shard have begun."""
        self._actors[self._name].word = lambda: (PartState.SERVES, "")

    def dies(self) -> None:
        """End the shard's process: Ray starts it again, which takes its time."""
        self._actors[self._name].word = None

    def stand_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Answer in the place of Ray."""
        monkeypatch.setattr(ray, "wait", lambda asked, timeout: (asked, []))
        monkeypatch.setattr(ray, "get", _given)
        monkeypatch.setattr(ray, "cluster_resources", lambda: {"gateway": 1.0})
        monkeypatch.setattr(ray, "get_actor", lambda name, namespace: self._actors[name])
        monkeypatch.setattr(ray.util, "list_named_actors", lambda: [*self._actors])


def _given(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest.fixture
def cluster(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> InMemoryCluster:
    cluster = InMemoryCluster(settings)
    cluster.stand_in(monkeypatch)
    cluster.passes(LONG_S)
    return cluster


def starts_fail(cluster: InMemoryCluster, settings: Settings, lives: int) -> list[tuple[str, str]]:
    """Let so many lives in a row begin and die; give what was told since the second one's first word."""
    told: list[tuple[str, str]] = []
    for number in range(lives):
        life = ShardLife(settings, "ezt-0", again=number > 0)
        cluster.begins(life)
        # The answers of the one before are still on their way.
        cluster.passes(2 * LOOK_EVERY_S)
        told += cluster.passes(LONG_S)
        life.fail(FULL)
        cluster.dies()
        told += cluster.passes(LONG_S)
        told = told if number else []
    return told


def test_between_two_failed_starts_the_last_failure_is_told(
    cluster: InMemoryCluster, settings: Settings
) -> None:
    told = starts_fail(cluster, settings, FAILED_FROM + 2)
    assert [state for state, _ in groupby(state for state, _ in told)] == ["blocked", "failed"]
    assert all("the disk is full" in reason for _, reason in told)


def test_a_start_that_succeeds_ends_the_telling_of_those_that_failed(
    cluster: InMemoryCluster, settings: Settings
) -> None:
    starts_fail(cluster, settings, FAILED_FROM + 1)
    cluster.serves()
    assert cluster.passes(LONG_S)[-1] == ("serves", "")
    cluster.dies()
    assert {state for state, _ in cluster.passes(LONG_S)[2:]} == {"starting"}
