"""A test app with seven scenarios: `POST /scenarios/<name>` runs one, and tells what came of it.

`python scenarios_app.py [PORT]` serves it on 127.0.0.1; `GET /scenarios` lists them.
"""

from __future__ import annotations

import sys
from typing import Any, Callable

import httpx
from flask import Flask
from stand_in import StandIn, stand_in
from werkzeug.serving import make_server

from ezthrottle import EZThrottle, IdempotentStrategy, Step, StepType, auto_forward
from ezthrottle.types import StepResult

Scenario = Callable[[EZThrottle, StandIn], "dict[str, Any]"]
DEFAULT_PORT = 8090


def basic(client: EZThrottle, api: StandIn) -> dict[str, Any]:
    """One job, and its webhook."""
    return _delivered(api, _step(client, api, "/basic").execute())


def racing(client: EZThrottle, api: StandIn) -> dict[str, Any]:
    """The first of three regions wins."""
    step = _step(client, api, "/delay/0.1").type(StepType.PERFORMANCE)
    return _delivered(api, step.regions(["iad", "lax", "ord"]).execution_mode("race").execute())


def fallback_chain(client: EZThrottle, api: StandIn) -> dict[str, Any]:
    """Another address where the first one fails."""
    step = _step(client, api, "/status/500")
    step.fallback(Step().url(api.url("/status/200")), trigger_on_error=[500, 502, 503])
    return _delivered(api, step.execute())


def on_success(client: EZThrottle, api: StandIn) -> dict[str, Any]:
    """A job that follows a job."""
    child = _step(client, api, "/delay/0.2")
    answer = _step(client, api, "/status/200").on_success(child).execute()
    api.wait_for_request("/delay/0.2")
    return _delivered(api, answer)


def idempotent_hash(client: EZThrottle, api: StandIn) -> dict[str, Any]:
    """The same request twice is one job."""
    return _twice(client, api, IdempotentStrategy.HASH)


def idempotent_unique(client: EZThrottle, api: StandIn) -> dict[str, Any]:
    """The same request twice is two jobs."""
    return _twice(client, api, IdempotentStrategy.UNIQUE)


def auto_forwarded(client: EZThrottle, api: StandIn) -> dict[str, Any]:
    """Code that fails here is run by the service."""

    @auto_forward(client, fallback_on_error=[429, 500])
    def legacy_api_call() -> dict[str, Any]:
        return dict(httpx.get(api.url("/flaky/429/legacy")).raise_for_status().json())

    answer = legacy_api_call()
    return {"submitted": answer, "ended": client.wait(answer["job_id"], timeout=30)["state"]}


SCENARIOS: dict[str, Scenario] = {
    "basic": basic,
    "racing": racing,
    "fallback-chain": fallback_chain,
    "on-success": on_success,
    "idempotent-hash": idempotent_hash,
    "idempotent-unique": idempotent_unique,
    "auto-forward": auto_forwarded,
}


def make_app(client: EZThrottle) -> Flask:
    """Return the application."""
    app = Flask(__name__)

    @app.get("/scenarios")
    def listed() -> dict[str, Any]:
        return {name: scenario.__doc__ for name, scenario in SCENARIOS.items()}

    @app.post("/scenarios/<name>")
    def run(name: str) -> Any:
        if name not in SCENARIOS:
            return {"error": f"known are {', '.join(SCENARIOS)}"}, 404
        with stand_in() as api:
            return SCENARIOS[name](client, api) | {"asked": dict(api.asked)}

    return app


def _step(client: EZThrottle, api: StandIn, path: str) -> Step:
    return Step(client).url(api.url(path)).webhooks([{"url": api.url("/webhook")}])


def _delivered(api: StandIn, answer: StepResult) -> dict[str, Any]:
    return {"submitted": answer, "delivered": api.wait_for_webhook(answer["job_id"]).data}


def _twice(client: EZThrottle, api: StandIn, strategy: IdempotentStrategy) -> dict[str, Any]:
    step = _step(client, api, f"/{strategy.value}").idempotent_strategy(strategy)
    first, second = step.execute(), step.execute()
    return {**_delivered(api, first), "again": second, "one_job": first["job_id"] == second["job_id"]}


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_PORT
    with EZThrottle() as shared:
        server = make_server("127.0.0.1", port, make_app(shared), threaded=True)
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
