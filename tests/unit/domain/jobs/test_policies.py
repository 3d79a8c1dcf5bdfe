"""What the words of a job's policies mean is said in one place, for each of them."""

import ast
from pathlib import Path

import pytest

from orchestrator.domain.jobs.policies import ExecutionMode, Guarantee, RegionPolicy

HOUSE = Path(__file__).parents[4]
POLICIES = {kind.__name__ for kind in (ExecutionMode, Guarantee, RegionPolicy)}
MODULES = [
    path
    for room in ("orchestrator", "regions")
    for path in sorted((HOUSE / room).rglob("*.py"))
    if path.name != "policies.py"
]


def compared(module: ast.Module) -> list[int]:
    """Give the lines that compare something with a word of a policy, or match it."""
    return [
        part.lineno
        for node in ast.walk(module)
        if isinstance(node, ast.Compare | ast.MatchValue)
        for part in ast.walk(node)
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id in POLICIES
    ]


def test_no_other_module_tells_the_words_apart() -> None:
    found = {str(path.relative_to(HOUSE)): compared(ast.parse(path.read_text())) for path in MODULES}
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "code",
    [
        "x is ExecutionMode.RACE",
        "x in (1, Guarantee.AT_MOST_ONCE)",
        "match x:\n  case RegionPolicy.STRICT: pass",
    ],
)
def test_a_comparison_is_found(code: str) -> None:
    assert compared(ast.parse(code))


def test_each_mode_has_a_conduct_of_its_own() -> None:
    assert len({mode.conduct for mode in ExecutionMode}) == len(ExecutionMode)


def test_one_word_of_a_pair_is_the_strict_one() -> None:
    assert [policy for policy in RegionPolicy if policy.strict] == [RegionPolicy.STRICT]
    assert [guarantee for guarantee in Guarantee if guarantee.once] == [Guarantee.AT_MOST_ONCE]
