import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.adapters.domains_file import load_known_domains
from orchestrator.cli.app import app
from orchestrator.domain.ids import TargetDomain
from orchestrator.domain.pace.known_domains import BadTable

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "domains.toml"


def test_the_shipped_table_names_the_source_of_every_entry() -> None:
    shipped = load_known_domains(None)
    assert {
        "api.stripe.com",
        "api.openai.com",
        "api.anthropic.com",
        "api.github.com",
    } <= shipped.policies.keys()
    for policy in shipped.policies.values():
        assert re.search(r"(documentation|reference).+\(.+\..+\): .+; read 20\d\d-\d\d-\d\d$", policy.source)


def test_the_documented_example_is_right() -> None:
    table = load_known_domains(EXAMPLE)
    assert table.policy(TargetDomain("one.tenants.example")).account_queues
    assert table.policy(TargetDomain("api.stripe.com")).rps == 25
    assert table.weights["enterprise"] == 16


@pytest.mark.parametrize(
    ("content", "says"), [(b"rps = ", "no TOML"), (b"\xff", "no TOML"), (b"[x]", "no section")]
)
def test_a_file_that_is_no_table_is_refused_by_its_name(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "domains.toml"
    path.write_bytes(content)
    with pytest.raises(BadTable, match=says) as caught:
        load_known_domains(path)
    assert str(path) in str(caught.value)


def test_the_command_refuses_to_start_with_a_file_that_is_not_there(tmp_path: Path) -> None:
    answer = CliRunner().invoke(app, ["serve", "--domains-file", str(tmp_path / "none.toml")])
    assert answer.exit_code == 2
    assert "--domains-file" in answer.output
    assert "none.toml" in answer.output
