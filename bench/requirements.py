"""Prints every direct dependency of server, SDK, benchmarks and development, for ``make lock``."""

import tomllib
from pathlib import Path

server = tomllib.loads(Path("pyproject.toml").read_text())
sdk = tomllib.loads(Path("sdk/pyproject.toml").read_text())
own = sdk["project"]["name"]
wanted = [
    *server["project"]["dependencies"],
    *(entry for extra in server["project"]["optional-dependencies"].values() for entry in extra),
    *(entry for group in server["dependency-groups"].values() for entry in group),
    *sdk["project"]["dependencies"],
]
print("\n".join(entry for entry in wanted if not entry.startswith(own)))
