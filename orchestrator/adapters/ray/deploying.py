"""What `ezthrottle deploy`, `status` and `undeploy` do to a cluster: they speak to its controller."""

import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

import ray

from orchestrator.adapters.ray.controller import SILENT_MOST_S, ControllerActor, deployed_actors, end
from orchestrator.adapters.ray.deployment import DETACHED, Deployment
from orchestrator.adapters.ray.joining import NODE_WITHIN_S, JoinError, join
from orchestrator.adapters.ray.making import LASTING
from orchestrator.adapters.ray.parts import raylets
from orchestrator.domain.cluster.deployment import SHARD_GROUP
from orchestrator.messages import names

ASK_EVERY_S = 0.2
ANSWERS_WITHIN_S = 10.0
OTHER_CONTROLLERS = f"{names.CONTROLLER}."


class DeployError(Exception):
    """It can't be deployed, and nothing was touched; its text is for people."""


def join_cluster() -> None:
    """Join the cluster that RAY_ADDRESS names, or else the one whose node runs on this machine.

    Raises:
        JoinError: There is none, or it does not let us in.

    """
    address = os.environ.get("RAY_ADDRESS") or _local_cluster()
    if not address:
        raise JoinError(
            "no Ray node runs on this machine: call this on one of the cluster's, or set RAY_ADDRESS"
        )
    os.environ["RAY_ADDRESS"] = address
    join(address, {"namespace": names.NAMESPACE, "log_to_driver": False, "logging_level": "warning"})


def _local_cluster() -> str:
    """Find out of which cluster this machine is a node. `ray up` returns before it is one: wait a moment."""
    deadline = time.monotonic() + NODE_WITHIN_S
    while time.monotonic() < deadline:
        for _, options in raylets():
            return options.get("gcs-address", options.get("gcs_address", ""))
        time.sleep(ASK_EVERY_S)
    return ""


def deploy(
    wanted: Deployment, regions: dict[str, int], within_s: float, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Have a controller make what is wanted, and wait until all is there, at most so long; give the last
    status. ``tell`` is told what is waited for.

    Raises:
        DeployError: Another service is there, or no machine offers to be the gateway's.

    """
    deadline = time.monotonic() + within_s
    _refuse_beside_serve()
    _await_gateway(deadline, tell)
    # One after the other: two of them would undo each other's work.
    _end_other_controllers(wanted.name)
    controller = _controller_of(wanted, regions)
    told = ""
    found: dict[str, Any] = {}
    while time.monotonic() < deadline and (not found or found["unsettled"]):
        time.sleep(ASK_EVERY_S)
        found = _asked(controller) or found
        waits = ", ".join(found["unsettled"]) if found else "the controller"
        if waits and waits != told:
            told = waits
            tell(f"waiting for {waits}")
    if not found:
        raise DeployError("the controller does not answer")
    return found


def status() -> dict[str, Any] | None:
    """Ask the controller how all stands; None where there is none.

    Raises:
        DeployError: It does not answer.

    """
    there = _controllers()
    if not there:
        return None
    name = there[0]
    if found := _asked(ray.get_actor(name, namespace=names.NAMESPACE)):
        return found
    raise DeployError(f"{name} does not answer: its machine may be away")


def undeploy(patience_s: float) -> list[str]:
    """End everything that was deployed; jobs stay on disk. Attempts under way are given so long. Give the
    names of what was ended.
    """
    _end_other_controllers("")
    there = deployed_actors()
    shards = [name for name, group in there.items() if group == SHARD_GROUP]
    for name in shards:
        with contextlib.suppress(ValueError, ray.exceptions.RayError):
            shard: Any = ray.get_actor(name, namespace=names.NAMESPACE)
            ray.wait([shard.hand_over.remote(patience_s)], timeout=patience_s + SILENT_MOST_S)
    for name in there:
        end(name)
    return sorted(there)


def _refuse_beside_serve() -> None:
    with contextlib.suppress(ValueError):
        ray.get_actor(names.SHARD, namespace=names.NAMESPACE)
        raise DeployError("`ezthrottle serve` runs in this cluster: stop it first, a cluster has one service")


def _await_gateway(deadline: float, tell: Callable[[str], None]) -> None:
    # Ray's type hints do not know this call's result.
    cluster: Any = ray
    told = False
    while names.GATEWAY_RESOURCE not in cluster.cluster_resources():
        if time.monotonic() > deadline:
            raise DeployError(
                f"no node of the cluster offers {names.GATEWAY_RESOURCE}: one has to, for the shard"
            )
        if not told:
            told = True
            tell(f"waiting for a node that offers {names.GATEWAY_RESOURCE}")
        time.sleep(ASK_EVERY_S)


def _controller_of(wanted: Deployment, regions: dict[str, int]) -> Any:
    cluster: Any = ray
    options = {"resources": {names.GATEWAY_RESOURCE: 1}, "max_concurrency": 4, **LASTING, **DETACHED}
    make = cluster.remote(ControllerActor).options(name=wanted.name, **options)
    return make.remote(wanted.carried, regions, wanted.build)


def _controllers() -> list[str]:
    util: Any = ray.util
    return sorted(name for name in util.list_named_actors() if name.startswith(OTHER_CONTROLLERS))


def _end_other_controllers(successor: str) -> None:
    """Let one controller after the other finish what it is at, and end it. One that does not answer is ended
    all the same: what it has begun, its successor finds.
    """
    for name in _controllers():
        if name != successor:
            with contextlib.suppress(ValueError, ray.exceptions.RayError):
                predecessor: Any = ray.get_actor(name, namespace=names.NAMESPACE)
                ray.wait([predecessor.give_way.remote()], timeout=ANSWERS_WITHIN_S)
            end(name)


def _asked(controller: Any) -> dict[str, Any] | None:
    asked = controller.status.remote()
    if not ray.wait([asked], timeout=ANSWERS_WITHIN_S)[0]:
        return None
    try:
        found: dict[str, Any] = ray.get(asked)
    except ray.exceptions.ActorUnavailableError:
        return None
    except ray.exceptions.RayError as error:
        raise DeployError(f"the controller could not start: {error}") from error
    return found or None
