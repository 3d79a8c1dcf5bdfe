"""Whatever begins something that goes on in the background is found in the source: it is one of the parts
that are tried, or it is said here why its work needs no stop.
"""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from tests.unit.lifecycle.parts import CLOSED, STARTED

HOUSE = Path(__file__).parents[3]
CONTRACTS = {"AsyncCloseable", "AsyncLifecycle", "Closeable", "Lifecycle"}
BEGINS = {
    "Popen",
    "Process",
    "ProcessPoolExecutor",
    "TaskGroup",
    "Thread",
    "ThreadPoolExecutor",
    "Timer",
    "create_server",
    "create_subprocess_exec",
    "create_subprocess_shell",
    "create_task",
    "create_unix_server",
    "ensure_future",
    "start_server",
    "start_unix_server",
}
"""Calls of these, whatever they are called on."""

ELSEWHERE = {
    # Until the process ends.
    "orchestrator.adapters.ray.controller ControllerActor": "`give_way`, which other versions call, ends it",
    "orchestrator.adapters.ray.deployed_shard DeployedShardActor": "`hand_over` ends its process",
    "orchestrator.adapters.ray.region_actors RegionActors": "a look may hang in a call of Ray's for ever",
    "orchestrator.runtime.allocator give_memory_back": "the whole process is what it is for",
    "regions.ray_host RegionHost": "Ray ends its process from outside",
    # Until the block ends, or the call.
    "orchestrator.adapters.process.guardian guarded": "it ends with the block",
    "orchestrator.adapters.process.parent _Parent": "`serve` returns when every process is ended",
    "orchestrator.adapters.ray.joining join": "it is called off before the call returns",
    # Until what it has in hand is on disk.
    "orchestrator.adapters.sqlite.large_courses LargeCourses": "its store, which is tried, waits for it",
    # Until an answer is there, for which somebody waits.
    "orchestrator.adapters.http.bodies read_body": "it ends with the request",
    "orchestrator.adapters.http.large_answers SharedResults": "it ends with its last reader",
    "orchestrator.adapters.target_guard ResolvingGuard": "it ends with the look-up",
    "regions.egress.reader AnswerReader": "it ends with the answer",
    # What is left of it is left.
    "orchestrator.adapters.http.console.many_jobs_acts ManyJobsActs": "it ends with the process, and says so",
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Read what the service is made of."""
    for room in ("orchestrator", "regions"):
        for path in sorted((HOUSE / room).rglob("*.py")):
            yield ".".join(path.relative_to(HOUSE).with_suffix("").parts), ast.parse(path.read_text())


def called(node: ast.AST) -> str:
    """Name what is called; nothing where nothing is."""
    if not isinstance(node, ast.Call):
        return ""
    name = node.func
    return name.attr if isinstance(name, ast.Attribute) else getattr(name, "id", "")


def beginning(module: ast.Module) -> Iterator[str]:
    """Name the classes, and functions beside them, that begin something in the background."""
    for outer in module.body:
        if any(called(node) in BEGINS for node in ast.walk(outer)):
            yield getattr(outer, "name", "(the module)")


def promising(module: ast.Module) -> Iterator[str]:
    """Name the classes that say they keep a contract."""
    for node in module.body:
        if isinstance(node, ast.ClassDef):
            bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
            if bases & CONTRACTS and "Protocol" not in bases:
                yield node.name


def test_whatever_goes_on_in_the_background_is_tried_or_excepted() -> None:
    tried = {f"{part.__module__} {part.__name__}" for part in STARTED | CLOSED}
    begin = {f"{name} {outer}" for name, module in modules() for outer in beginning(module)}
    assert begin - tried - set(ELSEWHERE) == set(), "a row of parts.py, or a reason here"
    assert set(ELSEWHERE) - begin == set(), "the list names more than there is"


def test_whoever_says_that_it_keeps_the_contract_is_tried() -> None:
    promised = {
        getattr(import_module(name), outer) for name, module in modules() for outer in promising(module)
    }
    assert promised - set(STARTED | CLOSED) == set()


def test_what_begins_something_is_found_wherever_in_a_class_it_does() -> None:
    text = (
        "class A:\n    def a(self):\n        def b():\n            asyncio.create_task(c())\n"
        "class B:\n    def b(self):\n        Thread(target=c).start()\n"
        "async def c():\n    async with asyncio.TaskGroup() as group:\n        pass\n"
        "class D:\n    def d(self):\n        self.create_task = 1\n"
    )
    assert [*beginning(ast.parse(text))] == ["A", "B", "c"]
