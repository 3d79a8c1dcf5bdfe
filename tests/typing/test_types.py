"""What type checkers find in programs that use the SDK."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CORRECT, MISTAKES = HERE / "correct.py", HERE / "mistakes.py"

pytestmark = pytest.mark.timeout(300)


def mypy(*programs: Path) -> set[tuple[str, int]]:
    """Return the lines in which mypy finds errors."""
    options = ["--strict", "--strict-equality", "--no-error-summary", "--python-version", "3.11"]
    done = _run("mypy", *options, "--config-file", "/dev/null", "--explicit-package-bases", *programs)
    found = re.findall(r"^(.*?):(\d+): error:", done.stdout, re.MULTILINE)
    assert found or done.returncode == 0, done.stdout + done.stderr
    return {(Path(name).name, int(line)) for name, line in found}


def pyright(*programs: Path) -> set[tuple[str, int]]:
    """Return the lines in which pyright finds errors, by its own standard."""
    done = _run("basedpyright", "--outputjson", "--level", "error", "--project", HERE, *programs)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    found = json.loads(done.stdout)["generalDiagnostics"]
    return {(Path(each["file"]).name, each["range"]["start"]["line"] + 1) for each in found}


def _run(module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT / "sdk", capture_output=True, text=True, check=False)


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_what_is_right_is_not_complained_of(checker: Callable[..., set[tuple[str, int]]]) -> None:
    assert checker(CORRECT) == set()


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_every_planted_mistake_is_found(checker: Callable[..., set[tuple[str, int]]]) -> None:
    lines = MISTAKES.read_text(encoding="utf-8").splitlines()
    planted = {("mistakes.py", number) for number, line in enumerate(lines, 1) if line.endswith("# mistake")}
    assert len(planted) >= 12
    assert checker(MISTAKES) == planted
