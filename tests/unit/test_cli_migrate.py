"""``ezthrottle migrate`` on data directories of this version, of an earlier one, and of a later one."""

import json
from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from orchestrator.adapters.sqlite.data_dir import DATABASE, LOCK_FILE, lock
from orchestrator.adapters.sqlite.migration import steps
from orchestrator.cli.app import app
from tests.conformance.stores import SqliteKeeper
from tests.conformance.test_schema_steps import SCHEMA_11, dump_of, number_of, set_number, written_by
from tests.unit.test_cli_keys import created

LATEST = len(steps())


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["migrate", *map(str, arguments)])


def test_an_earlier_directory_is_brought_up_and_then_is_up_to_date(tmp_path: Path) -> None:
    directory = written_by(SqliteKeeper(tmp_path / "data"), SCHEMA_11)
    done = run("--data-dir", directory.data_dir, "--json")
    assert json.loads(done.stdout) == {"status": "migrated", "from": 11, "to": LATEST}
    again = run("--data-dir", directory.data_dir)
    assert again.stdout == f"{directory.data_dir}: is up to date (schema {LATEST})\n"


def test_the_directory_of_an_earlier_service_that_runs_is_left_alone(tmp_path: Path) -> None:
    directory = written_by(SqliteKeeper(tmp_path / "data"), SCHEMA_11)
    before = dump_of(directory)
    lock(directory.data_dir / LOCK_FILE)
    answer = run("--data-dir", directory.data_dir)
    assert (answer.exit_code, "restart that service" in answer.stderr) == (2, True)
    assert (dump_of(directory), number_of(directory)) == (before, 11)


def test_a_later_versions_directory_is_refused(tmp_path: Path) -> None:
    created(tmp_path)
    set_number(SqliteKeeper(tmp_path), LATEST + 1)
    answer = run("--data-dir", tmp_path)
    assert (answer.exit_code, "written by a later version" in answer.stderr) == (2, True)


def test_what_is_no_data_directory_becomes_none(tmp_path: Path) -> None:
    answer = run("--data-dir", tmp_path / "typo")
    assert (answer.exit_code, "nothing lies there" in answer.stderr) == (2, True)
    assert not (tmp_path / "typo").exists()
    (tmp_path / DATABASE).write_bytes(b"no database at all" * 100)
    assert run("--data-dir", tmp_path).exit_code == 2
