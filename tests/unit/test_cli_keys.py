"""``ezthrottle keys`` on a data directory, and what every command has in common."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from orchestrator.cli.app import app, command

TYPERS_OWN = ("--help", "--install-completion", "--show-completion", "--version")


def run(*arguments: str | Path, **env: str) -> Result:
    return CliRunner().invoke(app, ["keys", *map(str, arguments)], env={"COLUMNS": "200"} | env)


def created(data_dir: Path, customer: str = "cust_acme") -> dict[str, str]:
    made: dict[str, str] = json.loads(
        run("create", "--customer", customer, "--data-dir", data_dir, "--json").stdout
    )
    return made


def test_a_key_is_made_listed_and_revoked(tmp_path: Path) -> None:
    made = created(tmp_path)
    assert made["api_key"].startswith("ck_live_cust_acme_")
    (listed,) = json.loads(run("list", "--data-dir", tmp_path, "--json").stdout)
    assert (listed["key_id"], listed["customer"], listed["plan"]) == (made["key_id"], "cust_acme", "pro")
    assert listed["revoked"] == ""
    shown = run("list", "--data-dir", tmp_path).stdout
    assert made["key_id"] in shown
    assert made["api_key"] not in shown
    revoked = run("revoke", made["key_id"], "--data-dir", tmp_path, "--json")
    assert json.loads(revoked.stdout) == {"key_id": made["key_id"], "status": "revoked"}
    (listed,) = json.loads(run("list", "--data-dir", tmp_path, "--json").stdout)
    assert listed["revoked"]


def test_a_key_is_made_for_its_role_and_listed_with_it(tmp_path: Path) -> None:
    created(tmp_path)
    made = run("create", "--customer", "cust_ops", "--role", "admin", "--data-dir", tmp_path, "--json")
    assert json.loads(made.stdout)["role"] == "admin"
    listed = json.loads(run("list", "--data-dir", tmp_path, "--json").stdout)
    assert {key["customer"]: key["role"] for key in listed} == {"cust_acme": "submit", "cust_ops": "admin"}
    assert "admin" in run("list", "--data-dir", tmp_path).stdout


def test_a_key_is_listed_with_its_label_expiry_and_last_use(tmp_path: Path) -> None:
    options = ("--label", "the shop's", "--expires", "90d", "--role", "read", "--data-dir", tmp_path)
    made = json.loads(run("create", "--customer", "cust_acme", *options, "--json").stdout)
    (listed,) = json.loads(run("list", "--data-dir", tmp_path, "--json").stdout)
    assert (listed["role"], listed["label"], listed["last_used"]) == ("read", "the shop's", "")
    lasts = datetime.fromisoformat(listed["expires"]) - datetime.fromisoformat(listed["created"])
    assert lasts == timedelta(days=90)
    assert listed | {"api_key": made["api_key"]} == made
    shown = run("list", "--data-dir", tmp_path).stdout
    assert all(word in shown for word in ("label", "the shop's", "expires", "last_used"))


@pytest.mark.parametrize(
    ("expires", "told"),
    [("soon", "is no time"), ("2020-01-01", "in the future"), ("0d", "is no time"), ("90 d", "is no time")],
)
def test_a_key_that_would_not_be_valid_is_not_made(tmp_path: Path, expires: str, told: str) -> None:
    answer = run("create", "--customer", "cust_acme", "--expires", expires, "--data-dir", tmp_path)
    assert (answer.exit_code, told in answer.stderr) == (2, True)
    assert not (tmp_path / "ezthrottle.db").exists()


@pytest.mark.parametrize(("role", "exit_code"), [("submit", 2), ("read", 2), ("admin", 0)])
def test_only_an_operators_key_needs_no_customer(tmp_path: Path, role: str, exit_code: int) -> None:
    answer = run("create", "--role", role, "--data-dir", tmp_path)
    assert (answer.exit_code, "--customer is needed" in answer.stderr) == (exit_code, exit_code != 0)


def test_a_role_that_there_is_not_makes_no_key(tmp_path: Path) -> None:
    answer = run("create", "--customer", "cust_ops", "--role", "root", "--data-dir", tmp_path)
    assert (answer.exit_code, "'submit', 'read', 'admin'" in answer.stderr) == (2, True)
    assert not (tmp_path / "ezthrottle.db").exists()


PLANS = "[plans]\npro = 4\nfree = 1\n"


@pytest.mark.parametrize(
    ("plan", "table", "told"),
    [
        ("gold", PLANS, "those named there are free, pro"),
        ("Pro", PLANS, "those named there are free, pro"),
        ("pro", "[plans]\nfree = 1\n", "those named there are free"),
        ("gold", "", "none is named there"),
        ("gold", None, "no --domains-file is given"),
        ("free", PLANS, ""),
        ("pro", PLANS, ""),
        ("pro", "", ""),
        ("pro", None, ""),
    ],
)
def test_a_plan_that_has_no_weight_is_warned_of(
    tmp_path: Path, plan: str, table: str | None, told: str
) -> None:
    options: list[str | Path] = ["--customer", "cust_acme", "--plan", plan, "--data-dir", tmp_path, "--json"]
    if table is not None:
        (tmp_path / "domains.toml").write_text(table)
        options += ["--domains-file", tmp_path / "domains.toml"]
    made = run("create", *options)
    assert json.loads(made.stdout)["plan"] == plan
    assert (told in made.stderr, bool(made.stderr)) == (True, bool(told))


def test_a_customers_plan_is_changed_and_that_is_in_the_audit(tmp_path: Path) -> None:
    created(tmp_path)
    (tmp_path / "domains.toml").write_text(PLANS)
    options = ("--data-dir", tmp_path, "--domains-file", tmp_path / "domains.toml")
    said = run("plan", "cust_acme", "free", *options)
    assert (said.stdout, said.stderr) == ("cust_acme is on the plan free (1 valid key)\n", "")
    (listed,) = json.loads(run("list", "--data-dir", tmp_path, "--json").stdout)
    assert listed["plan"] == "free"
    doubted = run("plan", "cust_acme", "gold", *options, "--json")
    assert json.loads(doubted.stdout) == {"customer": "cust_acme", "plan": "gold", "keys": 1}
    assert "those named there are free, pro" in doubted.stderr
    acts = CliRunner().invoke(app, ["audit", "list", "--data-dir", str(tmp_path), "--json"])
    assert [line["act"] for line in json.loads(acts.stdout)][:2] == ["customer.plan_set"] * 2


@pytest.mark.parametrize("customer", ["cust_nobody", "a b"])
def test_a_plan_of_who_has_no_key_changes_nothing(tmp_path: Path, customer: str) -> None:
    created(tmp_path)
    assert run("plan", customer, "pro", "--data-dir", tmp_path).exit_code == 2
    (listed,) = json.loads(run("list", "--data-dir", tmp_path, "--json").stdout)
    assert listed["plan"] == "pro"


def test_a_domains_file_that_can_not_be_read_makes_no_key(tmp_path: Path) -> None:
    options = ("--data-dir", tmp_path, "--domains-file", tmp_path / "typo.toml")
    answer = run("create", "--customer", "cust_acme", *options)
    assert (answer.exit_code, "typo.toml" in answer.stderr) == (2, True)
    assert not (tmp_path / "ezthrottle.db").exists()


def test_a_key_that_is_not_there_can_not_be_revoked(tmp_path: Path) -> None:
    created(tmp_path)
    answer = run("revoke", "nonsense", "--data-dir", tmp_path)
    assert (answer.exit_code, "see 'ezthrottle keys list'" in answer.stderr) == (2, True)


@pytest.mark.parametrize("arguments", [("list",), ("revoke", "abc")])
def test_looking_into_a_directory_without_a_database_makes_none(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    answer = run(*arguments, "--data-dir", tmp_path / "typo")
    assert (answer.exit_code, "ezthrottle keys create" in answer.stderr) == (2, True)
    assert not (tmp_path / "typo").exists()


def test_a_data_directory_that_can_not_be_used_is_named_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    (tmp_path / "ezthrottle.db").write_text("no database")
    for directory in (file, tmp_path):
        answer = run("create", "--customer", "cust_acme", "--data-dir", directory)
        assert (answer.exit_code, answer.stderr.count("\n")) == (2, 1)
        assert f"--data-dir {directory}: " in answer.stderr


def test_serve_names_a_data_directory_that_can_not_be_used(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.touch()
    assert CliRunner().invoke(app, ["serve", "--data-dir", str(file)]).exit_code == 2
    said = capfd.readouterr().err
    assert f"the data directory {file} can't be used" in said
    assert said.count("\n") == 1


def test_every_option_of_every_command_is_an_environment_variable() -> None:
    parts, seen = [command()], set()
    while parts:
        part = parts.pop()
        parts += getattr(part, "commands", {}).values()
        options = [option for option in part.params if option.param_type_name == "option"]
        seen |= {option.envvar for option in options if option.opts[0] not in TYPERS_OWN}
    assert {"EZTHROTTLE_PORT", "EZTHROTTLE_CUSTOMER", "EZTHROTTLE_JSON", "EZTHROTTLE_IDEMPOTENT_KEY"} <= seen
    assert all(str(name).startswith("EZTHROTTLE_") for name in seen)


def test_an_environment_variable_stands_for_its_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {
        "JSON": "1",
        "CUSTOMER": "cust_env",
        "PLAN": "free",
        "DATA_DIR": str(tmp_path),
    }.items():
        monkeypatch.setenv(f"EZTHROTTLE_{name}", value)
    command()(["keys", "create"], standalone_mode=False)
    made = json.loads(capsys.readouterr().out)
    assert (made["customer"], made["plan"]) == ("cust_env", "free")
