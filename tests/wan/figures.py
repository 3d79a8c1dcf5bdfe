"""What the tests saw, one line a fault; written down where EZTHROTTLE_WAN_RESULTS names a file."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

RESULTS = "EZTHROTTLE_WAN_RESULTS"


class Figures:
    """Collects them."""

    def note(self, fault: str, *, must: Mapping[str, float] = {}, **seen: float) -> None:
        """Take down what was seen of a fault: seconds, and counts of jobs. ``must`` is the most it may be."""
        rounded = {name: round(value, 2) for name, value in seen.items()}
        print(f"\n{fault}: {rounded}")  # noqa: T201  # pytest -s shows it to people
        if path := os.environ.get(RESULTS):
            results = Path(path)
            known = json.loads(results.read_text()) if results.exists() else {"faults": {}}
            known["faults"].setdefault(fault, {"must": dict(must), "seen": []})["seen"].append(rounded)
            results.write_text(json.dumps(known, indent=1) + "\n")
