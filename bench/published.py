"""The published client, in an environment of its own beside this project's."""

import shutil
import subprocess
import sys
from pathlib import Path

PUBLISHED = "ezthrottle==1.3.0"
ENVIRONMENT = Path(__file__).parents[1] / ".venv-published"


def published_python() -> Path:
    """Give the interpreter of that environment; make it where it is missing."""
    python, complete = ENVIRONMENT / "bin" / "python", ENVIRONMENT / PUBLISHED
    if not complete.exists():
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
        (ENVIRONMENT / ".gitignore").write_text("*\n")
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-compile", PUBLISHED], check=True)
        complete.touch()
    return python
