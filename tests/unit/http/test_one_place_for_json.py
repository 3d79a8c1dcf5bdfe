"""The API's JSON is made in documents/ alone: handlers read, ask the gateway, and send what they get."""

import ast
from pathlib import Path

import pytest

from orchestrator.adapters import http

HTTP = Path(http.__path__[0])
HANDLERS = sorted([*HTTP.glob("*_routes.py"), HTTP / "backend.py"])


def documents_in(source: str) -> list[int]:
    """Find the lines with an object whose keys are fields of JSON."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Dict)
        and any(isinstance(key, ast.Constant) and isinstance(key.value, str) for key in node.keys)
    ]


@pytest.mark.parametrize("path", HANDLERS, ids=lambda path: path.stem)
def test_a_handler_makes_no_json(path: Path) -> None:
    assert documents_in(path.read_text()) == []


def test_json_that_a_handler_made_would_be_found() -> None:
    assert documents_in('answer = [1, {"status": "ok"}]') == [1]
