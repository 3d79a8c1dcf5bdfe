"""``ezthrottle serve``: where its settings come from. What runs the service is left out here."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli import serve as serve_module
from orchestrator.cli.app import app
from orchestrator.settings import Settings, option_of, variable_of

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "ezthrottle.toml"


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings that the service would have begun with."""
    settings: list[Settings] = []

    def run(given: Settings) -> int:
        settings.append(given)
        return 0

    monkeypatch.setattr(serve_module, "_run_driver", run)
    return settings


def serve(*arguments: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["serve", *arguments], env=env)
    return result.exit_code, result.output


def a_file(directory: Path, text: str) -> str:
    path = directory / "ezthrottle.toml"
    path.write_text(text)
    return str(path)


def test_nothing_has_to_be_set(begun: list[Settings]) -> None:
    assert serve() == (0, "")
    assert begun == [Settings()]


GIVEN = Settings(
    host="::1",
    port=1234,
    metrics_bind="127.0.0.1:9",
    data_dir=Path("elsewhere"),
    regions=("fra", "syd"),
    allow_private_targets=True,
    allow_targets="10.0.0.0/8",
    drain_timeout_s=1.5,
    webhook_offsets_s=(0.0, 2.5),
    webhook_jitter=0.5,
)


CHANGED = {f.name: getattr(GIVEN, f.name) for f in fields(GIVEN) if getattr(GIVEN, f.name) != f.default}


def on_a_command_line(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def in_toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case tuple():
            return repr([*value])
        case _:
            return repr(str(value))


def test_every_setting_has_a_name_for_the_environment_and_one_for_the_command_line() -> None:
    result = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "300"})
    for setting in fields(Settings):
        assert option_of(setting.name) in result.output
        assert variable_of(setting.name) in result.output


@pytest.mark.parametrize("name", CHANGED)
def test_a_setting_is_an_option_a_variable_and_a_key_of_the_file(
    name: str, begun: list[Settings], tmp_path: Path
) -> None:
    value, option = CHANGED[name], option_of(name)
    path = a_file(tmp_path, f"[serve]\n{option[2:].replace('-', '_')} = {in_toml(value)}\n")
    assert serve(option, *([] if value is True else [on_a_command_line(value)])) == (0, "")
    assert serve(env={variable_of(name): on_a_command_line(value)}) == (0, "")
    assert serve("--config", path) == (0, "")
    assert begun == [replace(Settings(), **{name: value})] * 3


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(
    begun: list[Settings], tmp_path: Path
) -> None:
    path = a_file(tmp_path, "[serve]\nport = 1\nkeep_days = 1\nmax_streams = 1\n")
    env = {"EZTHROTTLE_CONFIG": path, "EZTHROTTLE_PORT": "2", "EZTHROTTLE_KEEP_DAYS": "2"}
    assert serve("--port", "3", env=env) == (0, "")
    assert (begun[0].port, begun[0].keep_days, begun[0].max_streams) == (3, 2.0, 1)


def test_the_documented_file_serves_for_the_domains_too(begun: list[Settings]) -> None:
    assert serve("--config", str(EXAMPLE)) == (0, "")
    assert (begun[0].port, begun[0].regions) == (8181, ("iad", "lax"))
    assert begun[0].webhook_offsets_s == (0, 5, 60, 3600)
    assert begun[0].domains_file == EXAMPLE


def test_a_file_of_settings_alone_names_no_domains(begun: list[Settings], tmp_path: Path) -> None:
    assert serve("--config", a_file(tmp_path, "[serve]\nport = 1\n")) == (0, "")
    assert begun[0].domains_file is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[serve]\nkeep_day = 7\n", "knows no keep_day: did you mean keep_days?"),
        ("[serve]\ncolour = 7\n", "knows no colour: it may hold host, port"),
        ("[serve]\nport = 'many'\n", "--port"),
        ("[serve]\nport = -1\n", "--port must lie between"),
        ("serve = 7\n", "write [serve] above the settings"),
        ("port = 7\n", "knows no port here: write it under [serve]"),
        ("[serv]\nport = 7\n", "knows no serv here: settings are under [serve]"),
        ("[serve\n", "is no TOML"),
        ("[domains.x]\nrpm = 7\n", "rpm"),
    ],
)
def test_what_is_wrong_with_the_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    code, output = serve("--config", a_file(tmp_path, text))
    assert code == 2
    assert says in output


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    code, output = serve("--config", str(tmp_path / "none.toml"))
    assert code == 2
    assert "none.toml: No such file or directory: name a file that can be read" in output
