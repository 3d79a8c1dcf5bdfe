"""Prints every direct dependency of server, SDK and development, for ``make lock``."""

import tomllib
from pathlib import Path

server = tomllib.loads(Path("pyproject.toml").read_text())
sdk = tomllib.loads(Path("sdk/pyproject.toml").read_text())
own = sdk["project"]["name"]
wanted = [
    *server["project"]["dependencies"],
    *(entry for entry in server["dependency-groups"]["dev"] if entry != own),
    *sdk["project"]["dependencies"],
]
print("\n".join(wanted))
