"""The SDK under the oldest Python that it promises, where that one is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.long import some_of

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests" / "unit" / "sdk"
PLAYED = {
    "all": (TESTS,),
    "some": tuple(TESTS / f"test_{name}.py" for name in ("public_names", "ways", "async_client")),
}
ENVIRONMENT = ROOT / ".venv-oldest"
OLDEST = "python3.9"
LIBRARIES = (
    "httpx>=0.27,<0.29",
    "django",
    "fastapi",
    "flask",
    "pytest",
    "pytest-asyncio",
    "pytest-timeout",
    "requests",
    "sniffio>=1.3,<2",
    "uvicorn",
)
# Of that Python's asyncio, as the test runner uses it; under later ones these are errors.
LEFT_OPEN = ("unclosed event loop", "unclosed <socket.socket", "unclosed transport")


def _candidates() -> list[Path]:
    on_the_path = shutil.which(OLDEST)
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    # What pyenv puts on the path runs only where that version was chosen.
    return [*([Path(on_the_path)] if on_the_path else []), *versions.glob(f"3.9.*/bin/{OLDEST}")]


def _runs(python: Path) -> bool:
    return subprocess.run([python, "--version"], capture_output=True, check=False).returncode == 0


@pytest.fixture
def python() -> Path:
    """The interpreter of an environment beside this project's."""
    found = next(filter(_runs, _candidates()), None)
    if found is None:
        pytest.skip(f"{OLDEST} is not installed")
    python, complete = ENVIRONMENT / "bin" / "python", ENVIRONMENT / "complete"
    if not complete.exists():
        subprocess.run([found, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        (ENVIRONMENT / ".gitignore").write_text("*\n")
        install = ("-m", "pip", "install", "--quiet", "--no-compile")
        subprocess.run([python, *install, *LIBRARIES], check=True)
        complete.touch()
    return python


@pytest.mark.timeout(600)
@pytest.mark.parametrize("share", some_of(PLAYED, "some"))
def test_the_sdk_does_under_it_what_it_does_under_ours(python: Path, share: str) -> None:
    ignored = [option for text in LEFT_OPEN for option in ("-W", f"ignore:{text}:ResourceWarning")]
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *ignored, *PLAYED[share]],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'sdk'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
