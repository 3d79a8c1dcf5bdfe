"""``ezthrottle audit`` on a data directory."""

import getpass
import json
from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from orchestrator.cli.app import app
from tests.unit.test_cli_keys import created
from tests.unit.test_cli_keys import run as run_keys


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["audit", *map(str, arguments)], env={"COLUMNS": "300"})


def test_keys_made_and_revoked_on_the_command_line_are_in_the_audit(tmp_path: Path) -> None:
    made = created(tmp_path)
    run_keys("revoke", made["key_id"], "--data-dir", tmp_path)
    listed = json.loads(run("list", "--data-dir", tmp_path, "--json").stdout)
    assert [(line["act"], line["subject"]) for line in listed] == [
        ("key.revoked", made["key_id"]),
        ("key.created", made["key_id"]),
    ]
    assert {line["who"] for line in listed} == {getpass.getuser()}
    assert all(line["from"].startswith("command line on ") for line in listed)
    assert listed[1]["detail"]["customer"] == "cust_acme"
    assert made["api_key"] not in json.dumps(listed)


def test_the_audit_is_shown_as_a_table_and_page_by_page(tmp_path: Path) -> None:
    for _ in range(3):
        created(tmp_path)
    shown = run("list", "--data-dir", tmp_path).stdout
    assert all(word in shown for word in ("key.created", "customer cust_acme", "role submit"))
    first = json.loads(run("list", "--data-dir", tmp_path, "--limit", "1", "--json").stdout)
    before = str(first[0]["number"])
    rest = json.loads(run("list", "--data-dir", tmp_path, "--before", before, "--json").stdout)
    assert len(rest) == 2
    late = json.loads(run("list", "--data-dir", tmp_path, "--since", "2999-01-01", "--json").stdout)
    assert late == []


def test_looking_for_the_audit_of_a_directory_without_a_database_makes_none(tmp_path: Path) -> None:
    answer = run("list", "--data-dir", tmp_path / "typo")
    assert (answer.exit_code, "nothing lies there" in answer.stderr) == (2, True)
    assert not (tmp_path / "typo").exists()
