"""Every answer is one that /openapi.json describes: drawn requests to the whole service, many of them taken.

``make fuzz CASES=5000`` sends more of them.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from bench.loopback import running_site
from tests.acceptance.conftest import customer_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.loopback import Site
    from bench.service import Service
    from tests.acceptance.conftest import Api

CASES = int(os.environ.get("EZTHROTTLE_FUZZ_CASES", "280"))
MORE_DRAWS = 5
pytestmark = [pytest.mark.service, pytest.mark.timeout(120 + CASES)]

JOBS, PROXY = "/api/v1/jobs", "/api/v1/proxy"
STREAM = f"{JOBS}/{{job_id}}/stream"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
WAIT_MOST_S = 0.05
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
KEYS = st.uuids().map(str) | st.from_regex(r"[a-z]{1,3}", fullmatch=True)
"""Some of which are known."""
PARTS = {
    "method": st.sampled_from(["get", "POST", "Put", "DELETE"]),
    "headers": st.dictionaries(st.from_regex(r"x-[a-z]{1,8}", fullmatch=True), st.just("1"), max_size=2),
    "body": TEXT,
    "metadata": st.dictionaries(TEXT, TEXT, max_size=2),
    "regions": st.lists(st.sampled_from(["iad", "lax", "ord"]), max_size=3),
    "priority": st.integers(0, 9),
    "deadline_ms": st.integers(1, 100_000),
}

log = logging.getLogger(__name__)


class Fuzz:
    """Draws requests, and checks what they are answered."""

    def __init__(self, api: Api, operator: Api, target: Site) -> None:
        self._api = api
        self._operator = operator
        self._base = str(api.http.base_url).rstrip("/")
        self._schema = schemathesis.openapi.from_dict(api.http.get("/openapi.json").json())
        self._job = st.fixed_dictionaries(
            {"url": st.just(target.url("/fuzz")), "idempotent_key": KEYS}, optional=PARTS
        )
        self._session = requests.Session()
        self._session.trust_env = False
        self._ids: list[str] = ["job_1_1"]
        self.answered: Counter[tuple[str, int]] = Counter()

    def operations(self) -> Iterator[tuple[str, str]]:
        """Name every call."""
        for found in self._schema.get_all_operations():
            operation = found.ok()
            yield operation.method.upper(), operation.path

    def run(self, method: str, path: str, count: int) -> None:
        """Send requests that fit a call's description, and such as just do not."""
        operation = self._schema[path][method]
        drawn = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode))

        @settings(
            max_examples=count,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=[*HealthCheck],
        )
        @given(case=drawn, data=st.data())
        def send(case: Case[Any], data: st.DataObject) -> None:
            self._send(self._sensible(case, path, data))

        send()

    def _sensible(self, case: Case[Any], path: str, data: st.DataObject) -> Case[Any]:
        """Make most requests such as get further than the first check."""
        if "job_id" in (case.path_parameters or {}) and data.draw(st.integers(0, 3)):
            # How many there are is the service's to say: what is drawn must not depend on it.
            case.path_parameters["job_id"] = self._ids[data.draw(st.integers(0, 9_999)) % len(self._ids)]
        if isinstance(case.query, dict) and "wait" in case.query:
            case.query["wait"] = WAIT_MOST_S
        if path in (JOBS, f"{JOBS}:batch", PROXY) and case.method == "POST" and data.draw(st.booleans()):
            case.body = self._taken(path, data)
        if data.draw(st.integers(0, 19)) == 7:
            case.headers["Authorization"] = "Bearer nobodys"
        else:
            mine, operators = self._api.api_key, self._operator.api_key
            # Each is refused what is the other's now and then.
            is_for_operators = "submit" not in case.operation.definition.raw.get("x-roles", ["submit"])
            case.headers["Authorization"] = (
                f"Bearer {operators if is_for_operators and data.draw(st.integers(0, 5)) else mine}"
            )
        return case

    def _taken(self, path: str, data: st.DataObject) -> Any:
        if path == JOBS:
            return data.draw(self._job)
        if path == PROXY:
            body = httpx.Response(200, json=data.draw(self._job)).text
            return {"target_url": self._base + JOBS, "method": "POST", "body": body}
        return {"jobs": data.draw(st.lists(self._job, max_size=3))}

    def _send(self, case: Case[Any]) -> None:
        name = f"{case.method} {case.operation.path}"
        if case.operation.path == STREAM:
            self.answered[name, self._begun(case)] += 1
            return
        response = case.call(base_url=self._base, session=self._session, timeout=60)
        self.answered[name, response.status_code] += 1
        case.validate_response(response, checks=CHECKS)
        if response.status_code == httpx.codes.ACCEPTED and "job_id" in response.json():
            self._ids.append(response.json()["job_id"])

    def _begun(self, case: Case[Any]) -> int:
        """Look at the head of a stream, and leave: that of a job that waits has no end."""
        asked = case.as_transport_kwargs(base_url=self._base)
        with self._session.request(**asked, stream=True, timeout=60) as response:
            described = case.operation.definition.raw["responses"][str(response.status_code)]
            media = response.headers.get("content-type", "").partition(";")[0]
            assert media in described.get("content", {"": {}})
            return int(response.status_code)


@pytest.fixture(scope="module")
def fuzz(service: Service) -> Iterator[Fuzz]:
    with (
        running_site() as target,
        customer_of(service, "cust_fuzz") as api,
        customer_of(service, "cust_fuzz_ops", "admin") as operator,
    ):
        api.open_gate(target)
        yield Fuzz(api, operator, target)


def test_every_answer_is_described(fuzz: Fuzz) -> None:
    operations = sorted(fuzz.operations())
    for method, path in operations:
        # Where jobs come from comes more often.
        weight = 5 if path in (JOBS, f"{JOBS}:batch", PROXY) and method == "POST" else 1
        fuzz.run(method, path, weight * CASES // (len(operations) + 12) + 1)
    while (missing := CASES - fuzz.answered.total()) > 0:
        # Of calls without any field there are not many to draw.
        fuzz.run("POST", JOBS, missing)
    for _ in range(MORE_DRAWS):
        # How many of few drawn jobs are taken is chance: some more are drawn where it were few.
        if fuzz.answered[f"POST {JOBS}", httpx.codes.ACCEPTED] < CASES // 100:
            fuzz.run("POST", JOBS, CASES // 20)
    statuses = Counter(status for _, status in fuzz.answered.elements())
    log.info("%d cases, answered %s", fuzz.answered.total(), sorted(statuses.items()))
    assert fuzz.answered[f"POST {JOBS}", httpx.codes.ACCEPTED] >= CASES // 100
    assert {name for name, _ in fuzz.answered} == {f"{method} {path}" for method, path in operations}
