"""``ezthrottle init``: the file that it writes is one that ``serve`` reads, and says what is so anyway."""

import json
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.settings import FILE_TABLE, Settings, key_of
from tests.unit.test_cli_serve import begun

__all__ = ["begun"]
FILES = [setting for setting in fields(Settings) if setting.default is None]
"""Settings that name a file or are left out."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def uncommented(path: Path) -> str:
    """Take the # away from each setting, but for those that name a file."""
    kept = {key_of(setting.name) for setting in fields(Settings)} - {key_of(each.name) for each in FILES}
    lines = path.read_text().splitlines()
    return "\n".join(line[2:] if line[2:].split(" = ")[0] in kept else line for line in lines)


def test_the_file_sets_nothing_until_a_line_is_uncommented(here: Path, begun: list[Settings]) -> None:
    assert run("init").exit_code == 0
    assert tomllib.loads((here / "ezthrottle.toml").read_text()) == {FILE_TABLE: {}}
    assert run("serve").exit_code == 0
    assert begun == [Settings()]


def test_every_setting_stands_there_with_its_default(here: Path, begun: list[Settings]) -> None:
    run("init")
    path = here / "ezthrottle.toml"
    text = path.read_text()
    assert all(f"# {setting.metadata['says']}\n" in text for setting in fields(Settings))
    path.write_text(uncommented(path))
    given = tomllib.loads(path.read_text())[FILE_TABLE]
    assert len(given) == len(fields(Settings)) - len(FILES)
    assert run("serve").exit_code == 0
    assert begun == [Settings()]


def test_serve_reads_the_file_where_it_is_started_behind_options_and_environment(
    here: Path, begun: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "ezthrottle.toml").write_text("[serve]\nport = 1111\nkeep_days = 3\nhistory_days = 4\n")
    monkeypatch.setenv("EZTHROTTLE_KEEP_DAYS", "5")
    assert run("serve", "--history-days", "6").exit_code == 0
    (settings,) = begun
    assert (settings.port, settings.keep_days, settings.history_days) == (1111, 5.0, 6.0)
    other = here / "other.toml"
    other.write_text("[serve]\nport = 2222\n")
    run("serve", "--config", other)
    assert begun[1].port == 2222


def test_a_mistake_in_the_file_where_serve_is_started_is_named(here: Path, begun: list[Settings]) -> None:
    (here / "ezthrottle.toml").write_text("[serve]\nprt = 1\n")
    answer = run("serve")
    assert (answer.exit_code, "did you mean port?" in answer.output, begun) == (2, True, [])


def test_a_file_that_is_there_stays_as_it_is(here: Path) -> None:
    (here / "ezthrottle.toml").write_text("mine")
    answer = run("init")
    assert (answer.exit_code, "is there already" in answer.output) == (2, True)
    assert (here / "ezthrottle.toml").read_text() == "mine"


def test_the_file_may_have_another_name(here: Path) -> None:
    assert json.loads(run("init", "mine.toml", "--json").stdout) == {"configuration": "mine.toml"}
    assert (here / "mine.toml").exists()
    assert run("init", here / "nowhere" / "mine.toml").exit_code == 2
