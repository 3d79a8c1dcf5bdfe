"""``ezthrottle backup`` on a data directory that is being written."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from orchestrator.adapters.sqlite.data_dir import DATABASE, KEY_FILE
from orchestrator.cli.app import app


def back_up(data_dir: Path, to: Path) -> Result:
    return CliRunner().invoke(app, ["backup", str(to), "--data-dir", str(data_dir), "--json"])


def create(data_dir: Path, customer: str) -> None:
    made = CliRunner().invoke(app, ["keys", "create", "--customer", customer, "--data-dir", str(data_dir)])
    assert made.exit_code == 0


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    create(tmp_path / "data", "cust_before")
    return tmp_path / "data"


def customers(data_dir: Path) -> list[str]:
    listed = CliRunner().invoke(app, ["keys", "list", "--data-dir", str(data_dir), "--json"])
    return [key["customer"] for key in json.loads(listed.stdout)]


def test_a_backup_with_the_key_file_is_a_data_directory(data_dir: Path, tmp_path: Path) -> None:
    assert back_up(data_dir, tmp_path / "copy.db").exit_code == 0
    restored = tmp_path / "restored"
    restored.mkdir()
    (tmp_path / "copy.db").rename(restored / DATABASE)
    (restored / KEY_FILE).write_bytes((data_dir / KEY_FILE).read_bytes())
    assert customers(restored) == ["cust_before"]


def test_a_backup_holds_what_was_committed_and_nothing_of_what_is_being_written(
    data_dir: Path, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(data_dir / DATABASE, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        columns = "key_hash, key_id, customer, plan, created_ms"
        db.execute(f"INSERT INTO api_keys ({columns}) VALUES (x'01', 'id', 'cust_after', 'pro', 2e13)")
        made = json.loads(back_up(data_dir, tmp_path / "copy.db").stdout)
        db.execute("COMMIT")
    with closing(sqlite3.connect(made["backup"])) as copy:
        assert copy.execute("SELECT customer FROM api_keys").fetchall() == [("cust_before",)]
    assert customers(data_dir) == ["cust_before", "cust_after"]


def test_a_backup_is_its_owners_alone_and_overwrites_nothing(data_dir: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    assert back_up(data_dir, copy).exit_code == 0
    assert copy.stat().st_mode & 0o077 == 0
    before = copy.read_bytes()
    again = back_up(data_dir, copy)
    assert (again.exit_code, copy.read_bytes()) == (2, before)
    assert "there already" in again.stderr


@pytest.mark.parametrize("where", ["missing/copy.db", "data"])
def test_a_place_that_can_not_be_written_is_named(data_dir: Path, tmp_path: Path, where: str) -> None:
    refused = back_up(data_dir, tmp_path / where)
    assert refused.exit_code == 2
    assert str(tmp_path / where) in refused.stderr


def test_a_damaged_database_makes_no_backup(data_dir: Path, tmp_path: Path) -> None:
    database = data_dir / DATABASE
    database.write_bytes(database.read_bytes()[:4096] + b"\0" * 8192)
    refused = back_up(data_dir, tmp_path / "copy.db")
    assert refused.exit_code == 1
    assert {path.name for path in tmp_path.iterdir()} == {"data"}
