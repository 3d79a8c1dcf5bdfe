"""Writes Markdown."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table; a cell may hold anything of one line."""
    lines = [head, ["---"] * len(head), *([_cell(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(text: object) -> str:
    """Write a text as code; nothing where there is none."""
    return f"`{text}`" if str(text) else ""


def lines(*texts: str) -> str:
    """Put texts below each other in one cell."""
    return "<br>".join(text for text in texts if text)


def page(*parts: str) -> str:
    """Put parts one below the other."""
    return "\n\n".join(part for part in parts if part) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
