import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ezthrottle

PUBLISHED_MODULES = {
    "client": ["EZThrottle", "auto_forward"],
    "step": ["IdempotentStrategy", "Step", "StepType"],
    "exceptions": [
        "AuthenticationError",
        "EZThrottleError",
        "ForwardToEZThrottle",
        "QuotaExceededError",
        "TimeoutError",
    ],
    "webhook": ["WebhookServer", "create_webhook_server"],
    "webhook_utils": [
        "WebhookVerificationError",
        "try_verify_with_secrets",
        "verify_webhook_signature",
        "verify_webhook_signature_strict",
    ],
    "event_store": ["EventStore"],
}

PACKAGE = Path(ezthrottle.__file__).parent
SOURCES = [*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "examples").glob("*.py")]

NO = inspect.Parameter.empty

PUBLISHED_ARGUMENTS = {
    "submit_job": [
        ("url", NO),
        ("method", "GET"),
        ("headers", None),
        ("body", None),
        ("metadata", None),
        ("webhooks", None),
        ("webhook_quorum", 1),
        ("regions", None),
        ("region_policy", "fallback"),
        ("execution_mode", "race"),
        ("retry_policy", None),
        ("fallback_job", None),
        ("on_success", None),
        ("on_failure", None),
        ("on_failure_timeout_ms", None),
        ("idempotent_key", None),
        ("retry_at", None),
    ],
    "request": [("url", NO), ("method", "GET"), ("headers", None), ("body", None)],
    "queue_request": [
        ("url", NO),
        ("webhook_url", NO),
        ("method", "GET"),
        ("headers", None),
        ("body", None),
        ("metadata", None),
        ("retry_at", None),
    ],
    "queue_and_wait": [
        ("url", NO),
        ("webhook_url", NO),
        ("method", "GET"),
        ("headers", None),
        ("body", None),
        ("timeout", 300),
        ("poll_interval", 2),
        ("metadata", None),
        ("retry_at", None),
    ],
    "create_webhook_secret": [("primary_secret", NO), ("secondary_secret", None)],
    "get_webhook_secret": [],
    "delete_webhook_secret": [],
    "rotate_webhook_secret": [("new_secret", NO)],
    "forward_or_fallback": [
        ("fallback", NO),
        ("url", NO),
        ("method", "GET"),
        ("headers", None),
        ("body", None),
    ],
}

PUBLISHED_BUILDERS = {
    "description": ["desc"],
    "response_description": ["desc"],
    "get_description": [],
    "get_response_description": [],
    "get_execution_history": [],
    "execution_trace": [],
    "type": ["step_type"],
    "url": ["url"],
    "method": ["method"],
    "headers": ["headers"],
    "body": ["body"],
    "metadata": ["metadata"],
    "webhooks": ["webhooks"],
    "webhook_quorum": ["quorum"],
    "regions": ["regions"],
    "region_policy": ["policy"],
    "execution_mode": ["mode"],
    "retry_policy": ["policy"],
    "retry_at": ["timestamp_ms"],
    "idempotent_key": ["key"],
    "idempotent_strategy": ["strategy"],
    "fallback_on_error": ["codes"],
    "local_timeout": ["timeout"],
    "fallback": ["step", "trigger_on_error", "trigger_on_timeout"],
    "on_success": ["step"],
    "on_failure": ["step", "timeout_ms"],
    "execute": ["client"],
}


def _positional(function: object) -> list[tuple[str, object]]:
    parameters = inspect.signature(function).parameters.values()
    return [
        (each.name, each.default)
        for each in parameters
        if each.name != "self" and each.kind in {each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD}
    ]


def _run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_all_names_what_is_public_and_nothing_else() -> None:
    public = {
        name
        for name, value in vars(ezthrottle).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert set(ezthrottle.__all__) == public | {"__version__"}
    assert len(ezthrottle.__all__) == len(set(ezthrottle.__all__))


@pytest.mark.parametrize("module", PUBLISHED_MODULES)
def test_the_published_module_paths_hold_the_published_names(module: str) -> None:
    loaded = importlib.import_module(f"ezthrottle.{module}")
    for name in PUBLISHED_MODULES[module]:
        assert getattr(loaded, name) is getattr(ezthrottle, name)


@pytest.mark.parametrize("kind", [ezthrottle.EZThrottle, ezthrottle.AsyncEZThrottle])
@pytest.mark.parametrize("method", PUBLISHED_ARGUMENTS)
def test_both_clients_take_the_published_arguments_in_the_published_order(kind: type, method: str) -> None:
    assert _positional(getattr(kind, method)) == PUBLISHED_ARGUMENTS[method]


@pytest.mark.parametrize("method", PUBLISHED_BUILDERS)
def test_step_takes_the_published_arguments(method: str) -> None:
    assert [name for name, _ in _positional(getattr(ezthrottle.Step, method))] == PUBLISHED_BUILDERS[method]


def test_the_client_is_made_with_the_published_arguments() -> None:
    assert [name for name, _ in _positional(ezthrottle.EZThrottle)] == [
        "api_key",
        "tracktags_url",
        "ezthrottle_url",
        "webhook_server",
        "start_webhook_server",
        "webhook_port",
    ]


@pytest.mark.parametrize("method", ["submit_job", "list_jobs", "cancel_jobs", "replay_jobs"])
def test_an_argument_that_nobody_knows_is_refused_by_its_name(
    client: ezthrottle.EZThrottle, service: Any, method: str
) -> None:
    with pytest.raises(TypeError, match=rf"{method}\(\) got an unexpected keyword argument 'prioritty'"):
        getattr(client, method)("queued", prioritty=9)
    assert service.seen == []


def test_a_method_documents_its_result_and_not_its_flow() -> None:
    assert inspect.signature(ezthrottle.EZThrottle.submit_job).return_annotation == "Acknowledgement"
    assert inspect.iscoroutinefunction(ezthrottle.AsyncEZThrottle.submit_job)
    assert not inspect.iscoroutinefunction(ezthrottle.EZThrottle.submit_job)


def test_the_import_pulls_in_no_framework_and_no_http_library() -> None:
    loaded = _run("import sys, ezthrottle; print(*sys.modules)").split()
    assert not {"ray", "fastapi", "flask", "starlette", "requests", "httpx", "asyncio", "http.server"} & set(
        loaded
    )


def test_the_import_is_quick() -> None:
    code = "import time; t = time.process_time(); import ezthrottle; print(time.process_time() - t)"
    assert min(float(_run(code)) for _ in range(3)) < 0.15


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_the_sources_are_python_3_9(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()
