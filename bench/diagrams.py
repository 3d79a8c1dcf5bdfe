"""Writes the diagrams that are drawn from the code into the docs; ``--check`` only compares."""

import sys
from pathlib import Path

from orchestrator.domain.lifecycle import diagram

PAGE = Path("docs/architecture.md")
BEGIN, END = "<!-- lifecycle: drawn from the transition table by `make format` -->", "<!-- /lifecycle -->"


def main() -> int:
    """Write, or compare; give the exit code."""
    text = PAGE.read_text()
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    drawn = f"{before}{BEGIN}\n\n```mermaid\n{diagram()}\n```\n\n{END}{after}"
    if "--check" in sys.argv:
        if drawn != text:
            print(f"{PAGE}: the lifecycle diagram is out of date; run 'make format'")
        return int(drawn != text)
    PAGE.write_text(drawn)
    return 0


if __name__ == "__main__":
    sys.exit(main())
