"""One client, made and used before processes are forked, and then used in all of them at once."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ezthrottle import (
    AsyncEZThrottle,
    EventStore,
    EZThrottle,
    EZThrottleWarning,
    Step,
    StepType,
)
from ezthrottle.webhook import WebhookServer

API_KEY = "ck_live_cust_acme_s3cr3t"
JOBS = "/api/v1/jobs"
PROCESSES = 5
CALLS = 40
PATIENCE_S = 30

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    # The servers of these tests have threads, and the children call nothing of theirs.
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]


class Child:
    """A forked process, and what it found."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _work_and_exit(work, writing)
        os.close(writing)

    def found(self) -> Any:
        """Return what the work returned, once it is done."""
        with os.fdopen(self._reading, "rb") as reading:
            written = reading.read()
        _, status = os.waitpid(self.pid, 0)
        assert os.WIFEXITED(status), status
        return json.loads(written)


def _work_and_exit(work: Callable[[], Any], writing: int) -> None:
    signal.alarm(PATIENCE_S)
    # An interpreter that is torn down in the child would close what is the parent's.
    gc.disable()
    try:
        found = work()
    except BaseException as error:  # noqa: BLE001 - told to the parent, whatever it is
        found = f"{type(error).__name__}: {error}"
    os.write(writing, json.dumps(found).encode())
    os._exit(0)


def echo(answer: Any) -> Callable[[Any], Any]:
    """Name in each answer the job that it is for."""

    def respond(seen: Any) -> Any:
        return answer(202, {"job_id": seen.json()["metadata"]["mine"], "status": "queued"})

    return respond


def foreign_answers(client: EZThrottle, name: str) -> list[str]:
    """Submit many jobs, and return the answers that were another's."""
    mixed = []
    for number in range(CALLS):
        mine = f"{name}-{number}"
        got = client.submit_job("https://api.example.com", metadata={"mine": mine})["job_id"]
        if got != mine:
            mixed.append(got)
    return mixed


def everywhere(work: Callable[[str], Any]) -> list[Any]:
    """Do the work in several processes and in this one, all at once."""
    start_reading, start_writing = os.pipe()

    def when_all_are_there(name: str) -> Any:
        os.read(start_reading, 1)
        return work(name)

    children = [Child(lambda name=name: when_all_are_there(f"child{name}")) for name in range(PROCESSES)]
    os.write(start_writing, b"." * (PROCESSES + 1))
    own = when_all_are_there("parent")
    found = [own, *(child.found() for child in children)]
    os.close(start_reading)
    os.close(start_writing)
    return found


def test_every_process_gets_the_answers_to_its_own_calls(
    client: EZThrottle, service: Any, answer: Any
) -> None:
    service.on("POST", JOBS, echo(answer))
    assert foreign_answers(client, "warm") == []

    assert everywhere(lambda name: foreign_answers(client, name)) == [[]] * (PROCESSES + 1)

    assert service.connections == 1 + PROCESSES


def test_a_process_forked_from_a_forked_one_gets_its_own_too(
    client: EZThrottle, service: Any, answer: Any
) -> None:
    service.on("POST", JOBS, echo(answer))
    foreign_answers(client, "warm")

    def child() -> Any:
        found = foreign_answers(client, "child")
        grandchild = Child(lambda: foreign_answers(client, "grandchild"))
        return [found, foreign_answers(client, "child again"), grandchild.found()]

    assert Child(child).found() == [[], [], []]
    assert foreign_answers(client, "parent") == []


def test_calls_under_way_in_other_threads_hold_no_child_up(
    client: EZThrottle, service: Any, answer: Any
) -> None:
    held = threading.Event()

    def hold(seen: Any) -> Any:
        if seen.json()["metadata"]["mine"].startswith("thread"):
            held.wait(PATIENCE_S)
        return echo(answer)(seen)

    service.on("POST", JOBS, hold)
    threads = [
        threading.Thread(
            target=client.submit_job,
            args=("https://api.example.com",),
            kwargs={"metadata": {"mine": f"thread{number}"}},
        )
        for number in range(30)
    ]
    for thread in threads:
        thread.start()
    service.wait_for("POST", JOBS, 20)  # the others wait for their turn

    children = [Child(lambda: foreign_answers(client, "child")) for _ in range(3)]

    assert [child.found() for child in children] == [[], [], []]
    held.set()
    for thread in threads:
        thread.join()


def test_a_client_closed_in_a_child_goes_on_in_the_parent(
    client: EZThrottle, service: Any, answer: Any
) -> None:
    service.on("POST", JOBS, echo(answer))
    foreign_answers(client, "warm")

    assert Child(client.close).found() is None

    assert foreign_answers(client, "parent") == []
    assert service.connections == 1


def test_the_asyncio_client_follows_a_fork(service: Any, answer: Any) -> None:
    service.on("POST", JOBS, echo(answer))
    client = AsyncEZThrottle(API_KEY, base_url=service.url)

    async def foreign(name: str) -> list[str]:
        wanted = [f"{name}-{number}" for number in range(CALLS)]
        calls = (client.submit_job("https://api.example.com", metadata={"mine": mine}) for mine in wanted)
        answers = await asyncio.gather(*calls)
        got = [each["job_id"] for each in answers]
        return [] if got == wanted else got

    assert asyncio.run(foreign("warm")) == []
    assert everywhere(lambda name: asyncio.run(foreign(name))) == [[]] * (PROCESSES + 1)


def test_a_stream_that_is_read_across_a_fork_is_asked_for_anew_in_the_child(
    client: EZThrottle, service: Any, answer: Any
) -> None:
    path = f"{JOBS}/job_1_2/stream"
    first, last = "id: 1\nevent: queued\ndata: {}\n\n", "id: 2\nevent: completed\ndata: {}\n\n"

    def stream(seen: Any) -> Any:
        told = last if "last-event-id" in seen.headers else first + last
        return answer(200, told, {"Content-Type": "text/event-stream"})

    service.on("GET", path, stream)
    events = client.stream("job_1_2")
    assert next(events).name == "queued"

    child = Child(lambda: [event.name for event in events])

    assert child.found() == ["completed"]
    assert [event.name for event in events] == ["completed"]
    assert [seen.headers.get("last-event-id") for seen in service.requests("GET", path)] == [None, "1"]


def test_an_http_client_of_the_programs_own_is_not_shared_with_a_child(service: Any) -> None:
    with httpx.Client() as http:
        unused = EZThrottle(API_KEY, base_url=service.url, http_client=http)
        client = EZThrottle(API_KEY, base_url=service.url, http_client=http)
        client.submit_job("https://api.example.com")

        said = Child(lambda: client.submit_job("https://api.example.com")).found()
        first_used_there = Child(lambda: unused.submit_job("https://api.example.com")["status"]).found()

    assert said.startswith("EZThrottleError: The http_client was used before this process was forked")
    assert "leave http_client out" in said
    assert first_used_there == "queued"


def test_an_event_store_is_not_left_locked_in_a_child() -> None:
    store = EventStore()
    with store._lock.get():
        child = Child(lambda: [store.register_handler("a"), store.pending_count()])
        assert child.found() == [None, 1]


@pytest.fixture
def receiving(service: Any) -> Iterator[EZThrottle]:
    with (
        WebhookServer(port=0) as server,
        EZThrottle(API_KEY, base_url=service.url, webhook_server=server) as client,
    ):
        yield client


def test_a_child_of_a_receiving_process_leaves_what_follows_to_the_service(
    receiving: EZThrottle, service: Any
) -> None:
    def submit() -> list[str]:
        step = Step(receiving).url("https://api.example.com")
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            step.on_success(Step().url("https://api.example.com/child").type(StepType.FRUGAL)).execute()
        return [f"{each.category.__name__} {Path(each.filename).name}" for each in told]

    assert Child(submit).found() == [f"{EZThrottleWarning.__name__} {Path(__file__).name}"]
    assert "on_success" in service.seen[-1].json()
    assert submit() == []
    assert "on_success" not in service.seen[-1].json()


def test_a_child_can_listen_for_itself_and_stops_only_its_own_server(receiving: EZThrottle) -> None:
    server = receiving.webhook_server
    assert server is not None
    port = server.port

    def listen() -> Any:
        server.stop()
        server.start()
        ports = server.port
        delivery = {"job_id": "job_1_2", "status": "success"}
        httpx.post(f"http://127.0.0.1:{server.port}/webhook", json=delivery, trust_env=False)
        got = server.wait_for_result("job_1_2", PATIENCE_S)
        server.stop()
        return [ports != port, got]

    assert Child(listen).found() == [True, {"job_id": "job_1_2", "status": "success"}]
    posted = httpx.post(f"http://127.0.0.1:{port}/webhook", json={"job_id": "j", "status": "success"})
    assert posted.status_code == 200


def test_a_job_that_a_child_waits_for_on_the_parents_server_is_warned_of(receiving: EZThrottle) -> None:
    server = receiving.webhook_server
    assert server is not None

    def wait() -> list[str]:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            assert server.wait_for_result("job_1_2", 0.01) is None
        return [str(each.message) for each in told]

    assert "arrive there" in Child(wait).found()[0]
