"""What became of a step, kept for people and language models to read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

LONGEST_SHOWN = 200


@dataclass
class History:
    """A step's descriptions, and its ends as they were seen.

    >>> history = History(description="Fetch the customer")
    >>> history.add("GET https://api.example.com", "success", response="{}")
    >>> print(history.trace())
    1. [SUCCESS] Fetch the customer
       Response: {}
    """

    description: str | None = None
    response_description: str | None = None
    records: list[dict[str, Any]] = field(default_factory=list)

    def add(self, request: str, status: str, *, response: Any = None, error: str | None = None) -> None:
        """Record an end; `request` names the step where it has no description."""
        record: dict[str, Any] = {"step": self.description or request, "status": status}
        if response is not None:
            record["response"] = response
            if self.response_description:
                record["response_meaning"] = self.response_description
        if error:
            record["error"] = error
        self.records.append(record)

    def trace(self) -> str:
        """Return the records as numbered lines, long responses cut."""
        if not self.records:
            return "No execution history."
        return "\n".join(
            line for number, record in enumerate(self.records, 1) for line in _lines(number, record)
        )


def _lines(number: int, record: dict[str, Any]) -> list[str]:
    lines = [f"{number}. [{record['status'].upper()}] {record['step']}"]
    if "response" in record:
        lines.append(f"   Response: {_shortened(str(record['response']))}")
    if "response_meaning" in record:
        lines.append(f"   Meaning: {record['response_meaning']}")
    if "error" in record:
        lines.append(f"   Error: {record['error']}")
    return lines


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "..."
