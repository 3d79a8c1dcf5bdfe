"""The actors of the regions' nodes: made, made anew where that failed, and asked where they are."""

import contextlib
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import ray
from msgspec.structs import replace

from orchestrator.domain.cluster.placement import Placement, PlacementState

LOOK_EVERY_S = 0.5
ASK_EVERY_S = 5.0
TELL_EVERY_S = 2.0
STARTS_WITHIN_S = 1.0
"""Whoever has not answered by then may wait for a node that is not there."""
AGAIN_FIRST_S = 1.0
AGAIN_MOST_S = 30.0

Make = Callable[[], Any]
"""Makes an actor, and gives its handle; raises what Ray does where its name is still taken."""
_IP = re.compile(r"\bip=([0-9a-fA-F.:]+)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class RegionActor:
    """One node's actor. Nothing here waits for an answer.

    Args:
        make: Makes it.
        resource: What a machine has to offer to run it; None where it is bound to this one.
        offered: Names what the machines of the cluster offer.
        now: Monotonic seconds.
    """

    def __init__(
        self,
        make: Make,
        resource: str | None,
        offered: Callable[[], Mapping[str, float]],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make
        self._resource = resource
        self._offered = offered
        self._now = now
        self._actor: Any = None
        self._asked: Any = None
        self._asked_at = 0.0
        self._again_at = 0.0
        self._pause_s = AGAIN_FIRST_S
        self.placement = Placement(state=PlacementState.STARTING, since_ms=_unix_ms(), reason="starting")

    def look(self) -> None:
        """Take the answer that came, and do what is due."""
        now = self._now()
        if self._actor is None:
            if now >= self._again_at:
                self._begin(now)
        elif self._asked is None:
            if now - self._asked_at >= ASK_EVERY_S:
                self._ask(now)
        elif ray.wait([self._asked], timeout=0)[0]:
            self._hear(now)
        elif now - self._asked_at > STARTS_WITHIN_S and self.placement.state is not PlacementState.RUNS:
            self._explain_waiting()

    def _begin(self, now: float) -> None:
        try:
            self._actor = self._make()
        except (ray.exceptions.RayError, ValueError) as error:
            self._fail(now, error)
        else:
            self._ask(now)

    def _ask(self, now: float) -> None:
        self._asked, self._asked_at = self._actor.where.remote(), now

    def _hear(self, now: float) -> None:
        asked, self._asked = self._asked, None
        try:
            where: dict[str, str] = ray.get(asked)
        except ray.exceptions.ActorUnavailableError:
            # Ray starts it again, here or on another node that offers the resource.
            self._explain_waiting()
            self._asked_at = now - ASK_EVERY_S
        except ray.exceptions.RayError as error:
            self._fail(now, error)
        else:
            self._pause_s = AGAIN_FIRST_S
            self._note(PlacementState.RUNS, "", **where)

    def _fail(self, now: float, error: Exception) -> None:
        if self._actor is not None:
            with contextlib.suppress(Exception):
                ray.kill(self._actor)
        self._actor = None
        self._again_at = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, AGAIN_MOST_S)
        found = _IP.search(str(error))
        address = found[1] if found else ""
        self._note(PlacementState.FAILED, f"its start failed: {last_line(error)}", address=address)

    def _explain_waiting(self) -> None:
        if self._resource is not None and self._resource not in self._offered():
            self._note(PlacementState.PENDING, f"no node of the cluster offers {self._resource}")
        elif self.placement.state is not PlacementState.FAILED:
            # What the last start failed of is told until one has succeeded.
            self._note(PlacementState.STARTING, "starting")

    def _note(self, state: PlacementState, reason: str, **where: str) -> None:
        placement = replace(self.placement, state=state, reason=reason, **where)
        if placement != self.placement:
            self.placement = replace(placement, since_ms=_unix_ms())


class RegionActors:
    """Looks after every node's actor in a thread of its own: a cluster that is cut off may not answer at all.

    Args:
        actors: By the nodes' addresses, as text.
        tell: Tells the shard; it does not wait for it.
        now: Monotonic seconds.
    """

    def __init__(
        self,
        actors: Mapping[str, RegionActor],
        tell: Callable[[dict[str, Any]], object],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._actors = actors
        self._now = now
        self._tell = tell
        self._told: dict[str, Any] = {}
        self._told_at = float("-inf")
        self.look()

    def begin(self) -> None:
        """Look from now on."""
        threading.Thread(target=self._look_for_ever, name="regions", daemon=True).start()

    def look(self) -> None:
        """Look after each, and tell of them."""
        for actor in self._actors.values():
            actor.look()
        found = {node: msgspec.to_builtins(actor.placement) for node, actor in self._actors.items()}
        # Again and again: a shard that was started anew knows nothing of it.
        if found != self._told or self._now() - self._told_at >= TELL_EVERY_S:
            self._told, self._told_at = found, self._now()
            self._tell(found)

    def troubles(self) -> dict[str, str]:
        """Say of each node that nobody runs, or whose start failed, why that is so."""
        placements = {node: actor.placement for node, actor in self._actors.items()}
        return {
            node: placement.reason
            for node, placement in placements.items()
            if placement.state in (PlacementState.PENDING, PlacementState.FAILED)
        }

    def _look_for_ever(self) -> None:
        while True:
            time.sleep(LOOK_EVERY_S)
            with contextlib.suppress(ray.exceptions.RayError):
                self.look()


def last_line(error: Exception) -> str:
    """Give the last line of what Ray tells of an error: it is the error's own."""
    lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000
