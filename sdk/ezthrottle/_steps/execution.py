"""Running a step: on this machine, by the service, or first here and then there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import httpx

from ezthrottle._calls.notices import ELSEWHERE, STEP_AGAIN
from ezthrottle._coroutines import outcome_of
from ezthrottle._jobs.states import Ending
from ezthrottle._steps.handover import Handover, keeps_steps
from ezthrottle._steps.spec import StepType
from ezthrottle._warnings import warn

if TYPE_CHECKING:
    from ezthrottle._http.direct import Response
    from ezthrottle._steps.client import Client
    from ezthrottle._steps.spec import ChainedStep

# The exchange failed, or the URL is none: the service gets the step, and says which.
_LOCAL_FAILURES = (httpx.HTTPError, httpx.InvalidURL)


async def execution(step: ChainedStep, client: Client) -> dict[str, Any]:
    """Run the step as its type says, and return its result, local or the service's answer."""
    # Only the service keeps what is to start later; `retry_at` alone means it for what is handed over.
    if step.spec.step_type is StepType.FRUGAL and not step.spec.starts_later:
        result = await _run_locally(step, client)
        if result is not None:
            return result
    return await _submit(step, client)


async def _run_locally(step: ChainedStep, client: Client) -> dict[str, Any] | None:
    """Return what the step and its local fallbacks came to, or None where the service is to take over."""
    code: int | None = None
    try:
        response = await _requested(step, client)
    except _LOCAL_FAILURES:
        pass
    else:
        code = response.status_code
        if response.is_success:
            return await _succeeded(step, client, response)
        if code not in step.spec.fallback_on_error:
            return _failed(step, code)
    return await _first_successful_fallback(step, client, code)


async def _requested(step: ChainedStep, client: Client) -> Response:
    spec = step.spec
    response: Response = await outcome_of(
        client.request(
            spec.target(),
            spec.method,
            spec.headers(),
            spec.fields.get("body"),
            timeout=spec.local_timeout,
        )
    )
    return response


async def _succeeded(step: ChainedStep, client: Client, response: Response) -> dict[str, Any]:
    step.spec.history.add(step.spec.name(), Ending.SUCCESS.value, response=response.text)
    await _on_success(step, client)
    return {
        "status": Ending.SUCCESS.value,
        "executed_locally": True,
        "status_code": response.status_code,
        "response": response.text,
    }


async def _on_success(step: ChainedStep, client: Client) -> None:
    if step.spec.on_success is not None:
        await execution(step.spec.on_success, client)


def _failed(step: ChainedStep, code: int) -> dict[str, Any]:
    error = f"Request failed: {code}"
    step.spec.history.add(step.spec.name(), Ending.FAILED.value, error=error)
    return {"status": Ending.FAILED.value, "executed_locally": True, "status_code": code, "error": error}


async def _first_successful_fallback(
    step: ChainedStep, client: Client, code: int | None
) -> dict[str, Any] | None:
    for fallback, trigger in step.spec.fallbacks:
        # The others wait for the service, which gets the whole chain.
        if fallback.spec.step_type is StepType.FRUGAL and _matches(trigger, code):
            result = await _run_locally(fallback, client)
            if result is not None and result["status"] == Ending.SUCCESS:
                await _on_success(step, client)
                return result
    return None


def _matches(trigger: Mapping[str, Any], code: int | None) -> bool:
    return trigger.get("type") != "on_error" or code in trigger["codes"]


async def _submit(step: ChainedStep, client: Client) -> dict[str, Any]:
    server = client.webhook_server if step.spec.children() else None
    if server is not None and server.listens_elsewhere():
        if keeps_steps(step):
            warn(ELSEWHERE)
        server = None
    if server is None:
        return _submitted(step, await outcome_of(client.submit_job(**step.spec.payload())))
    handover = Handover(step, server, client)
    try:
        answer: dict[str, Any] = await outcome_of(client.submit_job(**handover.payload))
    except BaseException:
        handover.cancel()
        raise
    handover.complete(answer["job_id"])
    return _submitted(step, answer)


def _submitted(step: ChainedStep, answer: dict[str, Any]) -> dict[str, Any]:
    if step.spec.submitted and answer.get("status") == "duplicate":
        warn(STEP_AGAIN)
    step.spec.submitted = True
    return answer
