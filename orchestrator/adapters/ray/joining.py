"""Joining a Ray cluster that is there, or saying in one line why that can't be."""

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import ray

from orchestrator.adapters.process.directories import SERVED_BEFORE
from orchestrator.adapters.process.exit_codes import ExitCode
from orchestrator.adapters.ray.parts import raylets
from orchestrator.adapters.ray.region_actors import last_line
from orchestrator.domain.cluster.deployment import SHARD_GROUP
from orchestrator.messages import names

JOINED_WITHIN_S = 45.0
NODE_WITHIN_S = 20.0
"""At the first start: the machine may be booting, and its Ray node with it."""
SAY_EVERY_S = 60.0
LOOK_EVERY_S = 0.5
CONNECTS_WITHIN_S = 3.0
OWNER_ANSWERS_S = 5.0
"""The actors of a service that was killed answer until the cluster has noticed."""
OWNER_DIES_WITHIN_S = 90.0
"""A node that is gone is called dead after some 64 s with Ray's own health checks."""
RAY_CLIENT = "ray://"


class JoinError(Exception):
    """The cluster can't be joined; its text is for people."""


def join(address: str, options: dict[str, Any]) -> None:
    """Join the cluster at ``address``, once it has a node on this machine.

    Raises:
        JoinError: That can't be, and there is no reason to wait longer.

    """
    _await_node(address)
    with _without_rays_words() as real:
        # It may wait for something for ever, and the main thread with it.
        patience = threading.Timer(JOINED_WITHIN_S, _give_up, (real, address))
        patience.daemon = True
        patience.start()
        try:
            ray.init(**options)
        except Exception as error:
            raise JoinError(_why_refused(address, error)) from error
        finally:
            patience.cancel()


def _give_up(real: int, address: str) -> None:
    os.write(real, f"ezthrottle: the cluster at {address} does not answer\n".encode())
    os._exit(ExitCode.LOST)


@contextlib.contextmanager
def _without_rays_words() -> Iterator[int]:
    """Keep what Ray says every second, while it tries, from people; gives the real standard error."""
    real, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield real
    finally:
        os.dup2(real, 2)
        os.close(nowhere)
        os.close(real)


def _await_node(address: str) -> None:
    if address.startswith(RAY_CLIENT):
        raise JoinError(
            f"RAY_ADDRESS={address}: serve runs on a node of the cluster; name its GCS, host:port"
        )
    began, said_at = time.monotonic(), float("-inf")
    while (trouble := _trouble(address)) is not None:
        now = time.monotonic()
        if now - began > NODE_WITHIN_S and not os.environ.get(SERVED_BEFORE):
            raise JoinError(trouble)
        if now - said_at > SAY_EVERY_S:
            said_at = now
            say(f"waiting: {trouble}")
        time.sleep(LOOK_EVERY_S)


def when_name_is_free(make: Callable[..., Any], *arguments: object) -> Any:
    """Make the shard's actor once nobody else has its name: an earlier service's may be dying.

    Raises:
        JoinError: Somebody keeps it.

    """
    if _is_deployed_to():
        raise JoinError(_DEPLOYED)
    began, said = time.monotonic(), False
    while True:
        try:
            return make(*arguments)
        except ray.exceptions.ActorAlreadyExistsError as error:
            waited_s = time.monotonic() - began
            if waited_s > (OWNER_ANSWERS_S if _owner_answers() else OWNER_DIES_WITHIN_S):
                raise JoinError(_TAKEN) from error
            if not said:
                said = True
                say("waiting: an earlier service's shard is still in this cluster")
            time.sleep(LOOK_EVERY_S)


def _is_deployed_to() -> bool:
    # Ray's type hints do not know this call's result.
    util: Any = ray.util
    return any(names.group_of(name) == SHARD_GROUP for name in util.list_named_actors())


def _owner_answers() -> bool:
    with contextlib.suppress(ray.exceptions.RayError, ValueError):
        owner: Any = ray.get_actor(names.SHARD, namespace=names.NAMESPACE)
        answered, _ = ray.wait([owner.ready.remote()], timeout=1.0)
        ray.get(answered)
        return bool(answered)
    return False


def _why_refused(address: str, error: Exception) -> str:
    """Word what Ray says against joining: another token, another version, anything else."""
    if isinstance(error, ray.exceptions.AuthenticationError | ConnectionError):
        return (
            f"the cluster at {address} is reachable and refuses this service: "
            "RAY_AUTH_MODE and the token have to be those of its nodes"
        )
    text = " ".join(str(error).split())
    if "ersion mismatch" in text:
        return f"the cluster at {address} runs another version of Ray or Python: {text}"
    return f"the cluster at {address} can't be joined: {last_line(error)}"


def say(line: str) -> None:
    """Tell people."""
    print(f"ezthrottle: {line}", file=sys.stderr, flush=True)  # noqa: T201  # the parent shows it to people


def _trouble(address: str) -> str | None:
    """Say what is missing; None where nothing is."""
    host, _, port = address.rpartition(":")
    known = bool(host) and port.isdigit()
    if known and (reason := _unreachable(host, int(port))):
        return f"the cluster at {address} is not reachable ({reason})"
    wanted = _resolved(host, port) if known else None
    for _, options in raylets():
        own_host, _, own_port = options.get("gcs-address", options.get("gcs_address", "")).rpartition(":")
        if wanted is None or _resolved(own_host, own_port) & wanted:
            return None
    return f"no Ray node of the cluster at {address} runs on this machine: `ray start --address={address}`"


def _unreachable(host: str, port: int) -> str | None:
    try:
        with socket.create_connection((host, port), timeout=CONNECTS_WITHIN_S):
            return None
    except OSError as error:
        return error.strerror or str(error)


def _resolved(host: str, port: str) -> set[tuple[str, str]]:
    with contextlib.suppress(OSError):
        return {(str(found[4][0]), port) for found in socket.getaddrinfo(host, None)}
    return {(host, port)}


_DEPLOYED = "a service is deployed to this cluster, and a cluster has one: 'ezthrottle undeploy' ends it"
_TAKEN = "another service runs in this cluster (its actor shard-0 answers): a cluster has one"
