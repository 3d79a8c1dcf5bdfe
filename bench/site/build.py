"""Lays the site's sources together, and has Zensical make pages of them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench.site.reference.pages import PAGES
from bench.site.sources import copy_linked_files, copy_sources

REPOSITORY = Path(__file__).parents[2]
KIT = REPOSITORY / "docs" / "site"
"""The site's configuration, its navigation, and what its theme has of our own."""
REFERENCE = Path("docs") / "reference"


def build(project: Path) -> Path:
    """Build the site in a directory; return where its pages are.

    The sources keep the places that they have in the repository, so a link that works there works here.

    Raises:
        CalledProcessError: Zensical found something wrong, and has said what.
    """
    sources = project / "pages"
    for made in (sources, project / "html", project / "theme"):
        shutil.rmtree(made, ignore_errors=True)
    copy_sources(REPOSITORY, sources)
    _write_reference(sources / REFERENCE)
    copy_linked_files(REPOSITORY, sources)
    shutil.copytree(KIT / "theme", project / "theme")
    shutil.copy(KIT / "zensical.toml", project)
    shutil.copy(KIT / "nav.yml", sources / ".nav.yml")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    subprocess.run(command, cwd=project, check=True, env=os.environ | {"PYTHONPATH": _paths()})
    return project / "html"


def _paths() -> str:
    """Say where modules are found from the project's directory, as they are from here."""
    return os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "sdk"), os.environ.get("PYTHONPATH", "")])


def _write_reference(directory: Path) -> None:
    directory.mkdir(parents=True)
    for name, write in PAGES.items():
        (directory / name).write_text(write(), "utf-8")
