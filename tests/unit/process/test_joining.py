"""What is said of a cluster that can't be joined, and how long it is waited for."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import ray

from orchestrator.adapters.process.directories import SERVED_BEFORE
from orchestrator.adapters.ray import joining
from orchestrator.adapters.ray.joining import JoinError, join, when_name_is_free
from orchestrator.domain.ids import RegionName
from orchestrator.messages.names import parts_of

JOINED = "Ray was asked to join"


@pytest.fixture
def gcs() -> Iterator[str]:
    """An address at which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def nobody() -> str:
    """One at which nobody does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return f"127.0.0.1:{port}"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "NODE_WITHIN_S", 0.05)
    monkeypatch.setattr(joining, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(joining, "OWNER_ANSWERS_S", 0.05)
    monkeypatch.setattr(joining, "OWNER_DIES_WITHIN_S", 0.1)
    with_actors(monkeypatch)
    monkeypatch.delenv(SERVED_BEFORE, raising=False)


def with_raylets(patch: pytest.MonkeyPatch, *addresses: str) -> None:
    found = [(number, {"gcs-address": address}) for number, address in enumerate(addresses)]
    patch.setattr(joining, "raylets", lambda: iter(found))


def with_actors(patch: pytest.MonkeyPatch, *named: str) -> None:
    patch.setattr(ray.util, "list_named_actors", lambda: [*named])


def when_joined(patch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
    def init(**_options: Any) -> None:
        raise error or RuntimeError(JOINED)

    patch.setattr(ray, "init", init)


def test_a_cluster_that_nobody_answers_for_is_not_reachable(nobody: str) -> None:
    with pytest.raises(JoinError, match=f"the cluster at {nobody} is not reachable"):
        join(nobody, {})


def test_a_machine_without_a_node_of_the_cluster_is_told_how_to_start_one(
    gcs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_raylets(monkeypatch, "127.0.0.1:1", "10.0.0.1:6379")
    with pytest.raises(JoinError, match=f"no Ray node .* runs on this machine: `ray start --address={gcs}`"):
        join(gcs, {})


def test_a_node_that_names_the_head_otherwise_is_one_all_the_same(
    gcs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    when_joined(monkeypatch)
    with_raylets(monkeypatch, gcs)
    with pytest.raises(JoinError, match=JOINED):
        join(gcs.replace("127.0.0.1", "localhost"), {})


def test_a_client_address_is_no_way_to_join() -> None:
    with pytest.raises(JoinError, match="serve runs on a node of the cluster"):
        join("ray://127.0.0.1:10001", {})


def test_whoever_has_served_before_waits_for_its_cluster_and_says_so(
    gcs: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(SERVED_BEFORE, "1")
    when_joined(monkeypatch)
    looks = iter(range(20))

    def raylets() -> Iterator[tuple[int, dict[str, str]]]:
        if next(looks, None) is None:
            yield 1, {"gcs_address": gcs}

    monkeypatch.setattr(joining, "raylets", raylets)
    with pytest.raises(JoinError, match=JOINED):
        join(gcs, {})
    assert capsys.readouterr().err.count("waiting: no Ray node") == 1


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionError("refused"), "RAY_AUTH_MODE and the token have to be those of its nodes"),
        (RuntimeError("Version mismatch: The cluster\nwas started with\nRay: 2.1"), "another version of Ray"),
        (ValueError("first line\n\n  the last line  \n"), "can't be joined: the last line"),
    ],
)
def test_why_the_cluster_refuses_is_one_line(
    gcs: str, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    with_raylets(monkeypatch, gcs)
    when_joined(monkeypatch, error)
    with pytest.raises(JoinError, match=words) as told:
        join(gcs, {})
    assert len(str(told.value).splitlines()) == 1


def taken(times: float) -> Callable[[], str]:
    """Make an actor whose name is free after it was asked for so often."""
    tries = 0

    def make() -> str:
        nonlocal tries
        tries += 1
        if tries <= times:
            raise ray.exceptions.ActorAlreadyExistsError("shard-0")
        return "made"

    return make


def test_an_earlier_services_name_is_waited_for_and_that_is_said_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(joining, "_owner_answers", lambda: False)
    assert when_name_is_free(taken(3)) == "made"
    assert capsys.readouterr().err.count("an earlier service's shard") == 1


@pytest.mark.parametrize("answers", [True, False])
def test_a_service_that_keeps_its_name_is_another_one(
    monkeypatch: pytest.MonkeyPatch, *, answers: bool
) -> None:
    monkeypatch.setattr(joining, "_owner_answers", lambda: answers)
    with pytest.raises(JoinError, match="another service runs in this cluster"):
        when_name_is_free(taken(float("inf")))


def test_a_cluster_that_a_service_is_deployed_to_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    shard, *_ = parts_of({RegionName("iad"): 1}, "aaaaaaaa", "bbbbbbbb")
    with_actors(monkeypatch, shard.name)
    with pytest.raises(JoinError, match="'ezthrottle undeploy' ends it"):
        when_name_is_free(taken(0))
