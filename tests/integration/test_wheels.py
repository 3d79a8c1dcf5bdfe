"""Both wheels, built and installed into environments that know nothing of this checkout."""

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.runtime.version import VERSION

HOUSE = Path(__file__).parents[2]
COMPLETED = "_EZTHROTTLE_COMPLETE"


class Environment:
    """A virtual environment. It sees the packages that ours stand on, and of ours what was installed."""

    def __init__(self, root: Path, *wheels: Path) -> None:
        self.root = root
        venv.create(root, symlinks=True)
        self._pip("install", "--no-deps", "--no-index", *wheels)
        # A plain path: what is installed for editing hangs on .pth files, which are not read there.
        Path(self._site, "theirs.pth").write_text(sysconfig.get_path("purelib"))

    @property
    def _site(self) -> str:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return str(self.root / "lib" / version / "site-packages")

    def _pip(self, *arguments: object) -> None:
        python = self.root / "bin" / "python"
        command = [sys.executable, "-m", "pip", "--quiet", "--python", python, *arguments]
        subprocess.run([*map(str, command)], check=True, cwd=self.root, timeout=120)

    def run(self, program: str, *arguments: str, **env: str) -> str:
        """Run a program of the environment's, somewhere else than in the checkout."""
        path = [str(self.root / "bin" / program), *arguments]
        clean = {"PATH": os.environ["PATH"], "HOME": str(self.root), **env}
        run = subprocess.run(path, env=clean, cwd=self.root, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        return run.stdout

    def place_of(self, package: str) -> Path:
        """Say where a package lies that is imported."""
        return Path(self.run("python", "-c", f"import {package}; print({package}.__file__)").strip())


def build(directory: Path, into: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(into)]
    subprocess.run(command, check=True, cwd=directory, capture_output=True, timeout=120)
    (wheel,) = into.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The server's and the client's."""
    made = tmp_path_factory.mktemp("wheels")
    return build(HOUSE, made / "server"), build(HOUSE / "sdk", made / "client")


@pytest.fixture(scope="module")
def installed(wheels: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """An environment with both."""
    return Environment(tmp_path_factory.mktemp("both"), *wheels)


def test_the_command_is_there_and_is_the_one_that_was_installed(installed: Environment) -> None:
    assert installed.run("ezthrottle", "--version") == f"ezthrottle {VERSION}\n"
    for package in ("orchestrator", "regions", "ezthrottle"):
        assert installed.root in installed.place_of(package).parents


def test_what_is_no_python_comes_along(installed: Environment, tmp_path: Path) -> None:
    made = installed.run("ezthrottle", "keys", "create", "--customer", "cust_a", "--data-dir", str(tmp_path))
    assert made.startswith("ck_live_")
    read = "from orchestrator.adapters import domains_file as d; print(d.load_known_domains(None))"
    assert "api.openai.com" in installed.run("python", "-c", read)


def test_a_shell_is_told_how_to_complete_a_command(installed: Environment) -> None:
    asked = {COMPLETED: "complete_bash", "COMP_WORDS": "ezthrottle jo", "COMP_CWORD": "1"}
    assert installed.run("ezthrottle", **asked).split() == ["jobs"]


def test_the_client_needs_nothing_of_the_server(
    wheels: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    alone = Environment(tmp_path_factory.mktemp("client"), wheels[1])
    assert alone.root in alone.place_of("ezthrottle").parents
    imported = "import ezthrottle, sys; print('orchestrator' in sys.modules)"
    assert alone.run("python", "-c", imported) == "False\n"
