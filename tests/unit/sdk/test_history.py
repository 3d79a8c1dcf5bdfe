from typing import Any

from ezthrottle import EZThrottle, Step, StepType


def _frugal(url: str) -> Step:
    return Step().url(url).type(StepType.FRUGAL)


def test_descriptions_are_kept() -> None:
    step = Step().description("Fetch the customer").response_description("A customer")
    assert (step.get_description(), step.get_response_description()) == ("Fetch the customer", "A customer")
    assert (Step().get_description(), Step().get_response_description()) == (None, None)


def test_a_step_that_was_not_run_has_no_history() -> None:
    assert Step().get_execution_history() == []
    assert Step().execution_trace() == "No execution history."


def test_a_success_is_traced_with_its_meaning(client: EZThrottle, target: Any, answer: Any) -> None:
    target.on("GET", "/a", answer(200, '{"id": 7}'))
    step = _frugal(f"{target.url}/a").description("Fetch the customer").response_description("A customer")
    step.execute(client)
    assert step.get_execution_history() == [
        {
            "step": "Fetch the customer",
            "status": "success",
            "response": '{"id": 7}',
            "response_meaning": "A customer",
        }
    ]
    assert step.execution_trace() == (
        '1. [SUCCESS] Fetch the customer\n   Response: {"id": 7}\n   Meaning: A customer'
    )


def test_a_failure_is_traced_by_its_request_where_it_has_no_description(
    client: EZThrottle, target: Any, answer: Any
) -> None:
    target.on("GET", "/a", answer(404))
    step = _frugal(f"{target.url}/a")
    step.execute(client)
    step.execute(client)
    line = f"[FAILED] GET {target.url}/a\n   Error: Request failed: 404"
    assert step.execution_trace() == f"1. {line}\n2. {line}"


def test_a_status_is_the_text_that_the_service_has_for_it(
    client: EZThrottle, target: Any, answer: Any
) -> None:
    target.on("GET", "/a", answer(200), answer(404))
    step = _frugal(f"{target.url}/a")
    step.execute(client)
    step.execute(client)
    assert [f"{record['status']}" for record in step.get_execution_history()] == ["success", "failed"]


def test_a_long_response_is_shortened_in_the_trace_only(client: EZThrottle, target: Any, answer: Any) -> None:
    target.on("GET", "/a", answer(200, "x" * 201))
    step = _frugal(f"{target.url}/a")
    step.execute(client)
    assert step.execution_trace().endswith("   Response: " + "x" * 200 + "...")
    assert step.get_execution_history()[0]["response"] == "x" * 201


def test_histories_are_not_shared_between_steps(client: EZThrottle, target: Any, answer: Any) -> None:
    target.on("GET", "/a", answer(200))
    _frugal(f"{target.url}/a").execute(client)
    assert Step().get_execution_history() == []
