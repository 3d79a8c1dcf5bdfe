"""What the documentation shows is run."""

import doctest
import importlib
import re
from pathlib import Path
from typing import Any

import pytest

import ezthrottle

API_KEY = "ck_live_cust_acme_s3cr3t"
JOB_ID = "job_1763674210055_853341"
README = Path(__file__).parents[3] / "sdk" / "README.md"


@pytest.fixture
def ready_service(service: Any, answer: Any) -> Any:
    ended = {"job_id": JOB_ID, "state": "success", "result": {"response": {"status_code": 200}}}
    service.on("GET", f"/api/v1/jobs/{JOB_ID}", answer(200, ended))
    events = 'id: 1\nevent: completed\ndata: {"state": "success"}\n\n'
    stream = answer(200, events, {"Content-Type": "text/event-stream"})
    service.on("GET", f"/api/v1/jobs/{JOB_ID}/stream", stream)
    service.on("POST", "/api/v1/jobs:batch", lambda seen: answer(200, _taken(seen.json()["jobs"])))
    for path in ("/api/v1/webhook-secrets", "/api/v1/webhook-secrets/rotate"):
        service.on("POST", path, answer(200, {"status": "ok", "message": "kept"}))
    return service


def _taken(jobs: list[Any]) -> dict[str, Any]:
    return {"answers": [{"job_id": JOB_ID, "status": "queued"}] * len(jobs)}


def test_the_readmes_examples_run(
    ready_service: Any,
    target: Any,
    answer: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("EZTHROTTLE_API_KEY", API_KEY)
    monkeypatch.setenv("EZTHROTTLE_URL", ready_service.url)
    target.on("GET", "/customer", answer(200, "{}"))
    target.on("POST", "/charge", answer(429))
    examples = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) >= 7

    names: dict[str, Any] = {}
    for example in examples:
        exec(example.replace("http://127.0.0.1:9000", target.url), names)
    names["client"].close()

    printed = capsys.readouterr().out
    assert "success {" in printed
    assert "completed {'state': 'success'}" in printed
    assert "200 submitted" in printed
    assert "401: both_secrets_failed" in printed
    assert [seen.path for seen in target.seen] == ["/customer", "/charge"]
    submitted = [seen.json()["url"] for seen in ready_service.requests("POST", "/api/v1/jobs")]
    assert submitted == [f"{target.url}/charge"] * 4


def test_every_section_has_an_example_and_every_example_a_line() -> None:
    examples = README.parent / "examples"
    table = [
        line.split("|")[1:-1]
        for line in (examples / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
    ]
    listed = {name for files, _, _ in table for name in re.findall(r"`(\w+)\.py`", files)}
    sections = re.findall(r"^## (.*)$", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert listed == {path.stem for path in examples.glob("*.py")} - {"stand_in", "limited_api"}
    assert {section.strip() for _, _, section in table} - {""} == set(sections)


@pytest.mark.parametrize(
    "module",
    [
        "_calls.events",
        "_calls.filters",
        "_calls.retry",
        "_calls.settings",
        "_steps.history",
        "_steps.spec",
        "event_store",
        "webhook",
    ],
)
def test_the_examples_that_need_no_service_are_true(module: str) -> None:
    loaded = importlib.import_module(f"ezthrottle.{module}")
    examples = [test for test in doctest.DocTestFinder().find(loaded) if "client" not in test.docstring]
    runner = doctest.DocTestRunner()
    for example in examples:
        runner.run(example)
    assert runner.tries > 0
    assert runner.failures == 0


def test_every_public_class_shows_an_example() -> None:
    classes = [value for value in vars(ezthrottle).values() if isinstance(value, type)]
    assert len(classes) >= 15
    assert [kind.__name__ for kind in classes if ">>>" not in (kind.__doc__ or "")] == []
