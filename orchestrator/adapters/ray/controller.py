"""The controller: it makes what a topology says, and keeps it so, from an actor that no job's way leads
through.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import ray
from msgspec.structs import replace

from orchestrator.adapters.ray.deployment import Deployment, address_of
from orchestrator.adapters.ray.region_actors import RegionActor, last_line
from orchestrator.domain.cluster.deployment import (
    SHARD_GROUP,
    Act,
    PartState,
    Seen,
    Step,
    plan,
    unsettled,
)
from orchestrator.domain.cluster.patience import Patience
from orchestrator.domain.cluster.placement import Placement, PlacementState
from orchestrator.messages import names

LOOK_EVERY_S = 0.25
SILENT_MOST_S = 15.0
"""A shard that is to make room and does not answer for so long, on a machine that is cut off say, is ended.
One that answers is waited for: what has ended there is on its way to disk.
"""
_LEAVING = PlacementState.LEAVING.value
_STATES = {PlacementState.PENDING: PartState.BLOCKED, PlacementState.FAILED: PartState.BLOCKED}

log = logging.getLogger(__name__)


class ShardTalk:
    """Tells a life of the shard where nodes are, and hears how it and they stand. Nothing here waits."""

    def __init__(self, name: str, now: Callable[[], float]) -> None:
        self._now = now
        self._actor = ray.get_actor(name, namespace=names.NAMESPACE)
        self._asked: Any = None
        self._told: frozenset[str] = frozenset()
        self._silent: Patience | None = None
        """How long it has not answered since it was to make room, or since it last did."""
        self.state, self.reason = PartState.STARTING, "starting"
        self.nodes: dict[str, tuple[bool, int]] = {}
        self.leaving: frozenset[str] = frozenset()
        """Nodes that were to leave when ``nodes`` were counted."""
        self.died = False
        """Whether this actor is gone: another one may bear its name by now."""

    def attend(self, found: dict[str, Any]) -> None:
        """Take the answer that came, and tell it anew."""
        if self._asked is not None:
            if not ray.wait([self._asked], timeout=0)[0]:
                return
            self._hear()
        self._told = frozenset(node for node, said in found.items() if said["state"] == _LEAVING)
        self._asked = self._actor.attend.remote(found)

    def _hear(self) -> None:
        try:
            state, self.reason, self.nodes = ray.get(self._asked)
            self.state, self.leaving = PartState(state), self._told
            self._silent = self._silent and Patience(self._now())
        except ray.exceptions.RayError as error:
            self.nodes = {}
            # What its last start failed of is told until one has succeeded.
            if not self.state.hindered:
                self.state, self.reason = PartState.STARTING, last_line(error)
            self.died = isinstance(error, ray.exceptions.ActorDiedError)

    def hand_over(self, patience_s: float) -> None:
        """Ask it to make room, once; end it where it does not answer."""
        now = self._now()
        if self._silent is None:
            self._silent = Patience(now)
            log.info("a shard is to make room")
            self._actor.hand_over.remote(patience_s)
        elif self._silent.look(now) > SILENT_MOST_S:
            log.warning("the shard that is to make room does not answer: it is ended")
            ray.kill(self._actor)


class Controller:
    """Looks at what is there, and does what is due, four times a second."""

    def __init__(self, deployment: Deployment, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._deployment = deployment
        self._wanted = {part.name: part for part in deployment.parts}
        self._groups: dict[str, str] = {}
        self._actors: dict[str, RegionActor] = {}
        self._shards: dict[str, ShardTalk] = {}
        self._leaving: dict[str, Patience] = {}
        self.status: dict[str, Any] = {}

    def look(self) -> None:
        """Look once, do what is due, and write the status anew."""
        self._find()
        for actor in self._actors.values():
            actor.look()
        self._attend()
        seen = {name: self._seen(name) for name in self._actors}
        for step in plan(self._deployment.parts, seen, patience_s=self._deployment.settings.drain_timeout_s):
            self._do(step, seen)
        self.status = self._describe(seen)

    def _find(self) -> None:
        """Know the actors that are there, whoever made them, and forget those that are gone."""
        there = deployed_actors()
        for name in [name for name in self._actors if name not in there and name not in self._wanted]:
            self._forget(name)
        for name, group in there.items():
            if name not in self._actors:
                self._know(name, group)
            if group == SHARD_GROUP and name not in self._shards:
                with contextlib.suppress(ValueError):
                    self._shards[name] = ShardTalk(name, self._now)

    def _know(self, name: str, group: str) -> None:
        part = self._wanted.get(name)
        make = (
            self._deployment.maker(part) if part else lambda: ray.get_actor(name, namespace=names.NAMESPACE)
        )
        # Ray's type hints do not know this call's result.
        cluster: Any = ray
        resource = part.resource if part else None
        self._actors[name] = RegionActor(make, resource, cluster.cluster_resources, self._now)
        self._groups[name] = group

    def _forget(self, name: str) -> None:
        for known in (self._actors, self._groups, self._shards, self._leaving):
            known.pop(name, None)

    def _attend(self) -> None:
        found = {
            str(address_of(name, group)): msgspec.to_builtins(self._placement(name))
            for name, group in self._groups.items()
            if group != SHARD_GROUP
        }
        for shard in self._shards.values():
            shard.attend(found)
        self._shards = {name: shard for name, shard in self._shards.items() if not shard.died}

    def _placement(self, name: str) -> Placement:
        placement = self._actors[name].placement
        if name in self._leaving:
            return replace(placement, state=PlacementState.LEAVING, reason="another one takes its place")
        return placement

    def _seen(self, name: str) -> Seen:
        up, busy, counted = self._node(name)
        # A count of before tells nothing of what it has now.
        leaving = self._leaving.get(name)
        leaving_s = None if leaving is None else leaving.look(self._now(), counts=counted)
        state = self._state(name, up=up)
        return Seen(group=self._groups[name], state=state, busy=busy, leaving_s=leaving_s, counted=counted)

    def _state(self, name: str, *, up: bool) -> PartState:
        if (talk := self._word_of(name)) is not None:
            return talk.state
        state = self._actors[name].placement.state
        node_is_up = up and state is PlacementState.RUNS and self._groups[name] != SHARD_GROUP
        return PartState.READY if node_is_up else _STATES.get(state, PartState.STARTING)

    def _word_of(self, name: str) -> ShardTalk | None:
        """Give what a shard says of itself, where that counts: while it runs, and while it begins once more
        after a start that failed.
        """
        talk, state = self._shards.get(name), self._actors[name].placement.state
        if talk is None:
            return None
        again = state is PlacementState.STARTING and talk.state.hindered
        return talk if again or state is PlacementState.RUNS else None

    def _node(self, name: str) -> tuple[bool, int, bool]:
        """Say whether a node is up, what it has under way, and whether that was counted since it leaves."""
        address = str(address_of(name, self._groups[name]))
        for shard in self._shards.values():
            if address in shard.nodes:
                return *shard.nodes[address], address in shard.leaving
        return False, 0, False

    def _do(self, step: Step, seen: Mapping[str, Seen]) -> None:
        name = step.part
        if step.act is Act.START:
            self._know(name, self._wanted[name].group)
        elif step.act is Act.HAND_OVER and name in self._shards:
            self._shards[name].hand_over(self._deployment.settings.drain_timeout_s)
        elif step.act is Act.LEAVE:
            self._leaving[name] = Patience(self._now())
        elif step.act is Act.END:
            if busy := seen[name].busy:
                log.warning("%s is ended with %d under way: that begins again elsewhere", name, busy)
            end(name)
        if step.act is not Act.HAND_OVER:
            log.info("%s: %s", step.act, name)

    def _describe(self, seen: Mapping[str, Seen]) -> dict[str, Any]:
        return {
            "controller": self._deployment.name,
            "build": self._deployment.build,
            "unsettled": unsettled(self._deployment.parts, seen),
            "parts": [self._describe_part(name, part) for name, part in seen.items()],
        }

    def _describe_part(self, name: str, seen: Seen) -> dict[str, Any]:
        placement, talk = self._placement(name), self._word_of(name)
        return {
            "part": name,
            "wanted": name in self._wanted,
            "state": "leaving" if name in self._leaving else str(seen.state),
            "busy": seen.busy,
            "host": placement.host,
            "address": placement.address,
            "version": placement.version,
            "reason": talk.reason if talk else placement.reason,
        }


def deployed_actors() -> dict[str, str]:
    """Find the deployed actors of the cluster: their names, and what each is a part of."""
    # Ray's type hints do not know this call's result.
    util: Any = ray.util
    found = {name: names.group_of(name) for name in util.list_named_actors()}
    return {name: group for name, group in found.items() if group is not None}


def end(name: str) -> None:
    """End an actor for good; nothing where it is not there."""
    with contextlib.suppress(ValueError):
        ray.kill(ray.get_actor(name, namespace=names.NAMESPACE))


class ControllerActor:
    """The controller as a Ray actor. It gives way to a later one."""

    def __init__(self, carried: dict[str, str], regions: dict[str, int], build: str) -> None:
        from regions.ray_host import check_build  # noqa: PLC0415  # whoever makes one needs no HTTP client

        logging.basicConfig(level=logging.INFO)
        check_build({"build": build})
        self._controller = Controller(Deployment(carried, regions, build))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look_for_ever, name="controller", daemon=True)
        self._thread.start()

    def status(self) -> dict[str, Any]:
        """Say what was there at the last look; nothing before the first."""
        return self._controller.status

    def give_way(self) -> None:
        """Do nothing any more: another one does."""
        self._stopping.set()
        self._thread.join()

    def _look_for_ever(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            try:
                self._controller.look()
            except ray.exceptions.RayError as error:
                log.warning("the cluster does not answer: %s", last_line(error))
            except Exception:
                # Whatever it was, the next look may find things better; a controller that is gone never does.
                log.exception("a look failed")
