"""A job's field is declared in `domain/jobs/job.py`, in `http/schema.py` and in the SDK's `_jobs/fields.py`.
The rest follows these, and here they are compared: a field that is in some of them only fails.
"""

import inspect
import json
from typing import Any

import pytest

from ezthrottle import EZThrottle, Step
from ezthrottle._jobs.fields import DEFAULT_HEDGE, FIELDS, JobBuilder, JobDict, JobOptions
from ezthrottle._jobs.payload import job_payload
from orchestrator.adapters.http.schema import FallbackIn, SubmissionIn
from orchestrator.adapters.http.submissions import read_submission
from orchestrator.adapters.records import pack_spec, unpack_spec
from orchestrator.domain.ids import RegionName
from orchestrator.domain.jobs.idempotency import payload_bytes
from orchestrator.domain.jobs.job import HedgePolicy, JobSpec
from tests.property.strategies import SINGLE_SPECS

URL = "https://api.example.com/"
IAD = RegionName("iad")
CHILD = {"url": "https://api.example.com/next"}
IN_THE_DOMAIN = {"fallback_job": "fallback"}
"""Fields that have another name in the API than in the domain."""
BUILT_OTHERWISE = {
    "fallback_job": "fallback",
    "on_failure_timeout_ms": "on_failure",
    "body_encoding": "bytes",
}
"""Fields that the builder sets by a method of another name."""

EXAMPLES: dict[str, dict[str, Any]] = {
    "url": {"url": "https://other.example.com/"},
    "method": {"method": "POST"},
    "headers": {"headers": {"X-A": "1"}},
    "body": {"body": "text"},
    "body_encoding": {"body": "/w==", "body_encoding": "base64"},
    "metadata": {"metadata": {"order": 42}},
    "webhooks": {
        "webhooks": [{"url": "https://app.example.com/", "regions": ["lax"], "has_quorum_vote": False}]
    },
    "webhook_quorum": {"webhook_quorum": 2},
    "regions": {"regions": ["lax", "ord"]},
    "region_policy": {"region_policy": "strict"},
    "execution_mode": {"execution_mode": "fanout"},
    "retry_policy": {"retry_policy": {"max_retries": 5, "retry_codes": [429, 500]}},
    "fallback_job": {"fallback_job": CHILD | {"trigger": {"type": "on_error", "codes": [503, 429]}}},
    "on_success": {"on_success": CHILD},
    "on_failure": {"on_failure": CHILD},
    "on_failure_timeout_ms": {"on_failure_timeout_ms": 60_000},
    "idempotent_key": {"idempotent_key": "order_42"},
    "retry_at": {"retry_at": 1_763_674_210_055},
    "priority": {"priority": 9},
    "timeout_ms": {"timeout_ms": 500},
    "deadline_ms": {"deadline_ms": 9_000},
    "guarantee": {"guarantee": "at_most_once"},
    "cost": {"cost": 2.5},
    "account": {"account": "theirs"},
    "hedge": {"hedge": {"quantile": 0.5}},
}
"""A submission's part that sets each field to something else than its default."""


def read(**fields: Any) -> JobSpec:
    reading = read_submission({"url": URL} | fields, IAD)
    assert (reading.errors, reading.ignored) == ([], [])
    return reading.spec


def test_every_place_declares_the_same_fields() -> None:
    read_from_http = set(SubmissionIn.model_fields)
    kept_by_the_domain = {
        next((api for api, domain in IN_THE_DOMAIN.items() if domain == name), name)
        for name in JobSpec.__struct_fields__
    }
    assert kept_by_the_domain == read_from_http, "domain/jobs/job.py and http/schema.py"
    assert set(FallbackIn.model_fields) - read_from_http == {"trigger"}
    assert set(FIELDS) == read_from_http, "FIELDS of the SDK and http/schema.py"
    assert set(JobDict.__annotations__) == read_from_http, "JobDict of the SDK and http/schema.py"
    assert set(EXAMPLES) == read_from_http, "the examples here"


def test_submit_job_takes_every_field_by_one_name() -> None:
    signature = set(inspect.signature(EZThrottle.submit_job).parameters) - {"self", "options"}
    assert signature | set(JobOptions.__annotations__) == set(FIELDS)
    assert signature & set(JobOptions.__annotations__) == set()


def test_the_builder_sets_every_field() -> None:
    methods = {name for name in vars(Step) | vars(JobBuilder) if not name.startswith("_")}
    assert {BUILT_OTHERWISE.get(name, name) for name in FIELDS} <= methods
    assert {name for name in vars(JobBuilder) if not name.startswith("_")} <= set(FIELDS)


@pytest.mark.parametrize("name", sorted(JobOptions.__annotations__.keys() - {"body_encoding", "hedge"}))
def test_the_builder_puts_an_option_into_the_payload(name: str) -> None:
    example = EXAMPLES[name][name]
    assert getattr(Step().url(URL), name)(example).spec.payload()[name] == example


@pytest.mark.parametrize("name", sorted(FIELDS.keys() - {"url", "method"}))
def test_the_sdk_sends_what_differs_from_the_services_default_and_leaves_out_what_does_not(name: str) -> None:
    example = EXAMPLES[name]
    assert job_payload(URL, "GET", example)[name] == example[name]
    assumed = FIELDS[name].assumed
    if assumed is not None:
        assert assumed == SubmissionIn.model_fields[name].default
        assert name not in job_payload(URL, "GET", {name: assumed})


def test_the_sdks_hedge_is_the_services() -> None:
    assert (
        HedgePolicy(**DEFAULT_HEDGE) == HedgePolicy() == read(**Step().url(URL).hedge().spec.payload()).hedge
    )


@pytest.mark.parametrize("name", sorted(SubmissionIn.model_fields.keys() - {"url"}))
def test_http_and_domain_have_one_default(name: str) -> None:
    spec = JobSpec(url=URL, metadata={}, regions=(IAD,))
    kept = IN_THE_DOMAIN.get(name, name)
    assert getattr(read(), kept) == getattr(spec, kept)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_a_field_goes_from_http_to_the_store_and_makes_another_payload(name: str) -> None:
    plain, spec = read(), read(**EXAMPLES[name])
    kept = IN_THE_DOMAIN.get(name, name)
    assert getattr(spec, kept) != getattr(plain, kept)
    assert unpack_spec(pack_spec(spec)) == spec
    assert payload_bytes(spec) != payload_bytes(plain)
    assert payload_bytes(read(**json.loads(json.dumps(EXAMPLES[name])))) == payload_bytes(spec)


def test_the_drawn_specs_of_the_property_tests_draw_every_field() -> None:
    drawn = set(SINGLE_SPECS.wrapped_strategy.kwargs)
    nested = {"fallback", "on_success", "on_failure", "body_encoding"}
    assert drawn | nested == set(JobSpec.__struct_fields__)
