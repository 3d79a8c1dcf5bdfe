"""Nothing that a client sends gives a 5xx: the whole application under drawn requests."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic.alias_generators import to_camel
from schemathesis import Case, GenerationMode

from orchestrator.adapters.http.schema import SubmissionIn
from tests.property.strategies import JSON, TEXT
from tests.support.long import drawn
from tests.unit.http.gateway import JOBS, SECRETS, TARGET, Gateway, running_gateway

PROXY = "/api/v1/proxy"
FIELDS = [*SubmissionIn.model_fields, "fallback_job", "on_success", "on_failure", "unknown"]
NAMES = st.sampled_from(FIELDS + [to_camel(name) for name in FIELDS]) | TEXT
ODD_URLS = (
    st.sampled_from([TARGET, "http://127.0.0.1/", "http://[::1]:0/", "https://a.example/", "http://a:0/"])
    | st.from_regex(r"https?://[^/]{0,20}(/[^ ]{0,20})?")
    | TEXT
)
TOKENS = st.text("abcXYZ-_", min_size=1, max_size=20)
HOOKS = st.fixed_dictionaries({"url": st.just(TARGET)}, optional={"has_quorum_vote": st.booleans()})
VALID = st.fixed_dictionaries(
    {"url": st.just(TARGET)},
    optional={
        "method": st.sampled_from(["get", "POST", "Patch", "HEAD"]),
        "headers": st.dictionaries(TOKENS.map("x-{}".format), TOKENS, max_size=3),
        "body": TEXT,
        "metadata": st.dictionaries(TEXT, JSON, max_size=3),
        "webhooks": st.lists(HOOKS, max_size=3),
        "regions": st.lists(st.sampled_from(["iad", "lax", "ord"]), max_size=4),
        "execution_mode": st.sampled_from(["race", "fanout"]),
        "idempotent_key": TOKENS,
        "retry_at": st.integers(978_307_200_000, 1_700_000_000_000),
        "deadline_ms": st.integers(1, 2**53),
        "cost": st.floats(0, 1e300) | st.integers(0, 2**64 - 1),
        "priority": st.integers(0, 9),
    },
)
ODD = st.one_of(JSON, ODD_URLS, st.integers(-(2**63), 2**64 - 1), st.lists(VALID, max_size=2), VALID)
SPOILED = st.builds(lambda valid, name, value: valid | {name: value}, VALID, NAMES, ODD)
DRAWN = st.dictionaries(NAMES, JSON, max_size=6)
DOCUMENTS = st.one_of(VALID, SPOILED, DRAWN)
EXAMPLES = settings(max_examples=drawn(80), deadline=None)


class Api:
    """The application on an event loop of its own; its resolver knows no name and asks nobody."""

    def __init__(self, runner: asyncio.Runner, gateway: Gateway) -> None:
        self._runner = runner
        self._gateway = gateway
        described = runner.run(gateway.client.get("/openapi.json")).json()
        self._described = schemathesis.openapi.from_dict(described)

    def cases(self, method: str, path: str) -> st.SearchStrategy[Case[Any]]:
        """Requests that fit the description in /openapi.json, and such as just do not."""
        operation = self._described[path][method]
        return st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode))

    def answers(self, method: str, path: str, content: bytes | str, *right: int) -> httpx.Response:
        """Send a request; the answer has one of these statuses, or is a problem of the client's making."""
        response = self._runner.run(self._gateway.client.request(method, path, content=content))
        if response.status_code not in right:
            problem = response.json()
            assert 400 <= response.status_code < 500, response.text
            assert response.headers["content-type"] == "application/problem+json"
            assert problem["status"] == response.status_code
            assert problem["error"]
        return response


async def _no_name_resolves(host: str, *args: Any, **kwargs: Any) -> list[Any]:
    host.encode("idna")
    raise socket.gaierror(socket.EAI_NONAME, "no such name")


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with asyncio.Runner() as runner, pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner.get_loop(), "getaddrinfo", _no_name_resolves)
        gateways = running_gateway()
        yield Api(runner, runner.run(_next(gateways)))
        with contextlib.suppress(StopAsyncIteration):
            runner.run(_next(gateways))


async def _next(gateways: AsyncIterator[Gateway]) -> Gateway:
    return await anext(gateways)


@given(document=DOCUMENTS)
@EXAMPLES
def test_whatever_document_is_submitted_the_answer_is_the_clients_to_understand(
    api: Api, document: dict[str, Any]
) -> None:
    response = api.answers("POST", JOBS, json.dumps(document), 200, 202)
    if response.status_code in {200, 202}:
        assert response.json()["job_id"].startswith("job_")
        shown = api.answers("GET", f"{JOBS}/{response.json()['job_id']}", b"", 200)
        assert shown.status_code == 200


@given(
    raw=st.binary(max_size=200) | st.text().map(str.encode) | st.binary(max_size=3).map(lambda b: b * 30_000)
)
@EXAMPLES
def test_whatever_bytes_are_submitted_they_are_refused(api: Api, raw: bytes) -> None:
    assert api.answers("POST", JOBS, raw).status_code in {400, 413, 422}


@given(
    text=st.builds(
        lambda document, at, junk: json.dumps(document)[:at] + junk + json.dumps(document)[at:],
        VALID,
        st.integers(0, 80),
        st.sampled_from(
            ["", "NaN", "1e999", "\\ud800", "\x00", "[" * 3_000, '{"a":' * 50, "9" * 30, ",", "]"]
        ),
    )
)
@EXAMPLES
def test_text_that_was_tampered_with_breaks_nothing(api: Api, text: str) -> None:
    api.answers("POST", JOBS, text, 200, 202)


@pytest.mark.parametrize("path", [JOBS, f"{JOBS}:batch", SECRETS, f"{SECRETS}/rotate", PROXY])
@given(data=st.data())
@EXAMPLES
def test_whatever_fits_the_description_or_nearly_so_breaks_nothing(
    api: Api, path: str, data: st.DataObject
) -> None:
    body = data.draw(api.cases("POST", path)).body
    content = json.dumps(body) if isinstance(body, dict | list | str | int | float | None) else b""
    api.answers("POST", path, content, 200, 202)


ENVELOPES = st.fixed_dictionaries(
    {
        "target_url": st.sampled_from([JOBS, SECRETS, "/api/v1/", PROXY]).flatmap(
            lambda path: TEXT.map(lambda text: path + text) | st.just(path)
        ),
        "method": st.sampled_from(["GET", "POST", "DELETE"]),
        "body": TEXT | DOCUMENTS.map(json.dumps),
    }
)


@given(envelope=ENVELOPES)
@EXAMPLES
def test_whatever_is_in_an_envelope_breaks_nothing(api: Api, envelope: dict[str, Any]) -> None:
    response = api.answers("POST", PROXY, json.dumps(envelope), 200)
    if response.status_code == 200:
        assert response.json()["forwarded_response"]["status_code"] < 500


@given(path=TEXT, wait=st.sampled_from(["", "NaN", "-1", "0", "1e-9", "x", "\u0661"]))
@settings(max_examples=drawn(80), deadline=None)
def test_whatever_job_is_asked_for_breaks_nothing(api: Api, path: str, wait: str) -> None:
    api.answers("GET", f"{JOBS}/{quote(path, safe='')}?wait={quote(wait)}", b"", 200, 307)


@given(
    query=st.dictionaries(
        st.sampled_from(["state", "limit", "cursor"]),
        TEXT | st.sampled_from(["queued", "0", "200", "-1", "NTAgam9iXzFfMQ"]),
    )
)
@EXAMPLES
def test_whatever_list_is_asked_for_breaks_nothing(api: Api, query: dict[str, str]) -> None:
    text = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
    api.answers("GET", f"{JOBS}?{text}", b"", 200)


@given(documents=st.lists(DOCUMENTS | JSON, max_size=5))
@EXAMPLES
def test_whatever_is_in_a_batch_has_an_answer_each(api: Api, documents: list[Any]) -> None:
    answered = api.answers("POST", f"{JOBS}:batch", json.dumps({"jobs": documents}), 200)
    if answered.status_code == 200:
        assert len(answered.json()["answers"]) == len(documents)


@given(document=VALID)
@settings(max_examples=drawn(60), deadline=None)
def test_what_is_valid_is_taken(api: Api, document: dict[str, Any]) -> None:
    assert api.answers("POST", JOBS, json.dumps(document), 200, 202).status_code in {200, 202}
