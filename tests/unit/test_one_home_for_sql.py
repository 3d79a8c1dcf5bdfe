"""SQL has one home: whoever else wants rows goes through a port."""

import ast
from collections.abc import Iterator
from pathlib import Path

import orchestrator

ROOT = Path(orchestrator.__file__).parent


def modules_that_import(name: str) -> Iterator[str]:
    for path in [*ROOT.rglob("*.py"), *ROOT.with_name("regions").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if name in names:
                yield path.relative_to(ROOT.parent).as_posix()


def test_only_the_embedded_store_knows_sqlite() -> None:
    importers = set(modules_that_import("sqlite3"))
    assert importers
    assert {path for path in importers if not path.startswith("orchestrator/adapters/sqlite/")} == set()


def test_only_the_assembly_names_a_store() -> None:
    package = "orchestrator.adapters.sqlite.store"
    assert set(modules_that_import(package)) == {"orchestrator/adapters/stores.py"}
