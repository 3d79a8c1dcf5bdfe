"""What the tests saw, one line a fault; written down where EZTHROTTLE_WAN_RESULTS names a file."""

import json
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

RESULTS = "EZTHROTTLE_WAN_RESULTS"
ROUNDS = int(os.environ.get("EZTHROTTLE_WAN_ROUNDS", "1"))
"""How often each fault comes, all to one started service: starting that takes longer than most faults."""


class Figures:
    """Collects them."""

    def note(self, fault: str, *, must: Mapping[str, float] = {}, **seen: float) -> None:
        """Take down what was seen of a fault: seconds, and counts of jobs. ``must`` is the most it may be."""
        rounded = {name: round(value, 2) for name, value in seen.items()}
        print(f"\n{fault}: {rounded}")  # noqa: T201  # pytest -s shows it to people
        if path := os.environ.get(RESULTS):
            results = Path(path)
            known = json.loads(results.read_text()) if results.exists() else {"faults": {}}
            entry = known["faults"].setdefault(fault, {"must": dict(must), "seen": []})
            entry["seen"].append(rounded)
            entry["medians"] = medians(entry["seen"])
            results.write_text(json.dumps(known, indent=1) + "\n")


def medians(seen: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Give the median of each figure over all rounds."""
    return {name: round(statistics.median(each[name] for each in seen), 2) for name in seen[0]}
