"""How large things are: a class, a module, a function, and how much a module takes from the rest.

The lists below are what is over the mark by now. They may only shrink: what is in order again has to leave
them, and nothing may grow beyond what stands there. Tests may take as many names as they need.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
ROOMS = ("orchestrator", "regions", "sdk", "bench", "tests")
OURS = {"orchestrator", "regions", "ezthrottle", "bench", "tests"}

CLASS_MOST = 250
MODULE_MOST = 499
FUNCTION_MOST = 35
NAMES_MOST = 25

CLASSES: dict[str, int] = {}
MODULES: dict[str, int] = {}
FUNCTIONS: dict[str, int] = {
    "sdk/ezthrottle/_operations/submitting.py submit_job": 41,
    "tests/acceptance/test_operator.py test_what_is_shown_goes_and_what_the_operator_says_holds_over_a_kill": 40,  # noqa: E501  # a test's name
}
NAMES: dict[str, int] = {
    # What the client offers, by name: nothing is done there.
    "sdk/ezthrottle/__init__.py": 27,
    "sdk/ezthrottle/types/__init__.py": 45,
}


@cache
def sources() -> list[tuple[str, str, ast.Module]]:
    """Read every module: its path, its text, and what that says."""
    paths = [path for room in ROOMS for path in sorted((HOUSE / room).rglob("*.py"))]
    texts = [(path.relative_to(HOUSE).as_posix(), path.read_text()) for path in paths]
    return [(path, text, ast.parse(text)) for path, text in texts]


def lines_of(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or 0) - node.lineno + 1


def classes(module: ast.Module, _text: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef):
            yield f" {node.name}", lines_of(node)


def functions(module: ast.Module, _text: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f" {node.name}", lines_of(node)


def modules(_module: ast.Module, text: str) -> Iterator[tuple[str, int]]:
    yield "", len(text.splitlines())


def names_taken(module: ast.Module, _text: str) -> Iterator[tuple[str, int]]:
    taken = 0
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom):
            ours = node.level > 0 or (node.module or "").partition(".")[0] in OURS
            taken += len(node.names) if ours else 0
        elif isinstance(node, ast.Import):
            taken += sum(alias.name.partition(".")[0] in OURS for alias in node.names)
    yield "", taken


@dataclass(frozen=True)
class Rule:
    """What is measured, how much of it there may be, and what is excepted with the size that it has."""

    measure: Callable[[ast.Module, str], Iterator[tuple[str, int]]]
    most: int
    excepted: dict[str, int]
    rooms: tuple[str, ...] = ROOMS

    def over(self) -> dict[str, int]:
        """Measure everything, and keep what is over the mark: of several of one name, the largest."""
        found: dict[str, int] = {}
        for path, text, module in sources():
            if path.startswith(self.rooms):
                for name, size in self.measure(module, text):
                    if size > self.most:
                        found[f"{path}{name}"] = max(size, found.get(f"{path}{name}", 0))
        return found


RULES = {
    "lines of a class": Rule(classes, CLASS_MOST, CLASSES),
    "lines of a module": Rule(modules, MODULE_MOST, MODULES),
    "lines of a function": Rule(functions, FUNCTION_MOST, FUNCTIONS),
    "names that a module takes from the project": Rule(names_taken, NAMES_MOST, NAMES, rooms=ROOMS[:-1]),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_nothing_is_larger_than_it_may_be(rule: Rule) -> None:
    known = rule.excepted
    too_large = {what: size for what, size in rule.over().items() if size > known.get(what, rule.most)}
    assert not too_large, f"at most {rule.most}"


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_what_is_in_order_again_is_excepted_no_more(rule: Rule) -> None:
    over = rule.over()
    sizes = {what: over.get(what, rule.most) for what in rule.excepted}
    mended = {what: size for what, size in sizes.items() if size < rule.excepted[what]}
    assert not mended, "the list names more than there is"


def test_a_class_and_a_function_are_measured_from_their_first_line_to_their_last() -> None:
    text = (
        "class A:\n    def b(self):\n        pass\n\n\nfrom tests import x, y\nfrom . import z\nimport os\n"
    )
    module = ast.parse(text)
    assert [*classes(module, text), *functions(module, text)] == [(" A", 3), (" b", 2)]
    assert [*modules(module, text), *names_taken(module, text)] == [("", 8), ("", 3)]
