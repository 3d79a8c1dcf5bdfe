"""What stands in the SDK and in the service, since neither imports the other: words, and bounds that hold."""

from enum import StrEnum
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from ezthrottle import types
from ezthrottle._calls.settings import DEFAULT_URL
from ezthrottle._jobs.states import Ending
from ezthrottle._operations.batches import MOST_BYTES, MOST_JOBS
from ezthrottle._operations.forwarding import _NOT_FORWARDED
from ezthrottle._operations.secrets import SHORTEST_SECRET
from ezthrottle._operations.waiting import LONG_POLL_S
from ezthrottle.webhook_utils import SIGNATURE_HEADER
from orchestrator.adapters.http.answers import jobs, timelines
from orchestrator.adapters.http.job_routes import WAIT_MOST_S
from orchestrator.adapters.http.schema import (
    HedgeIn,
    JobFilterIn,
    RetryPolicyIn,
    RotateIn,
    SecretsIn,
    TriggerIn,
    WebhookIn,
)
from orchestrator.domain.ids import DeliveryId
from orchestrator.domain.jobs.job import TriggerKind
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.jobs.policies import ExecutionMode, Guarantee, RegionPolicy
from orchestrator.domain.jobs.submission import HOP_BY_HOP
from orchestrator.domain.jobs.submission_bounds import SubmissionBounds
from orchestrator.domain.webhooks.fanout import JobDelivery
from orchestrator.domain.webhooks.signing import signature_headers
from orchestrator.settings import Settings


@pytest.mark.parametrize(
    ("literal", "enum"),
    [
        (types.ExecutionMode, ExecutionMode),
        (types.RegionPolicy, RegionPolicy),
        (types.Guarantee, Guarantee),
        (types.JobState, JobState),
        (types.DeliveryState, JobDelivery),
    ],
)
def test_a_word_of_the_service_is_one_of_the_sdk(literal: Any, enum: type[StrEnum]) -> None:
    assert set(get_args(literal)) == set(enum)


@pytest.mark.parametrize(
    ("shape", "model"),
    [
        (types.Webhook, WebhookIn),
        (types.RetryPolicy, RetryPolicyIn),
        (types.Hedge, HedgeIn),
        (types.Trigger, TriggerIn),
    ],
)
def test_what_a_submission_holds_has_the_fields_that_the_service_reads(
    shape: Any, model: type[BaseModel]
) -> None:
    assert set(shape.__annotations__) == set(model.model_fields)


@pytest.mark.parametrize(
    ("shape", "model"),
    [
        (types.Attempt, timelines.Attempt),
        (types.Cancelled, jobs.Cancelled),
        (types.Delivery, timelines.Delivery),
        (types.EndedJob, jobs.Job),
        (types.HttpResponse, jobs.HttpAnswer),
        (types.Job, jobs.Job),
        (types.JobError, jobs.JobError),
        (types.JobPage, jobs.JobPage),
        (types.Leg, timelines.Leg),
        (types.ListedJob, jobs.ListedJob),
        (types.ManyJobs, jobs.ManyJobs),
        (types.Request, jobs.JobRequest),
        (types.Result, jobs.JobResult),
        (types.Timeline, timelines.Timeline),
    ],
)
def test_an_answer_has_the_fields_that_the_service_describes(shape: Any, model: type[BaseModel]) -> None:
    assert set(shape.__annotations__) == set(model.model_fields)


def test_the_answer_to_a_submission_has_the_fields_of_both_that_the_service_gives() -> None:
    given = jobs.Acknowledgement.model_fields | jobs.Duplicate.model_fields
    assert set(types.Acknowledgement.__annotations__) == set(given)


def test_the_sdk_filters_by_what_the_service_filters_by() -> None:
    assert set(types.JobFilters.__annotations__) | {"state"} == set(JobFilterIn.model_fields)


def test_a_trigger_has_the_kinds_of_the_service() -> None:
    assert set(get_args(TriggerIn.model_fields["type"].annotation)) == set(TriggerKind)


def test_a_job_ends_as_the_service_says() -> None:
    assert {ending.value for ending in Ending} == {state.value for state in JobState if state.ended}


def test_batches_and_waits_are_within_the_services_bounds() -> None:
    assert SubmissionBounds().batch_jobs >= MOST_JOBS
    assert SubmissionBounds().batch_bytes >= MOST_BYTES + SubmissionBounds().body_bytes
    assert WAIT_MOST_S >= LONG_POLL_S


def test_the_sdk_refuses_the_secrets_that_the_service_would() -> None:
    for model, name in ((SecretsIn, "primary_secret"), (RotateIn, "new_secret")):
        schema = model.model_json_schema()["properties"][name]
        assert schema["minLength"] == SHORTEST_SECRET


def test_the_sdk_forwards_no_header_that_the_service_refuses() -> None:
    assert HOP_BY_HOP == _NOT_FORWARDED


def test_the_sdk_verifies_the_header_that_the_service_signs_with() -> None:
    assert SIGNATURE_HEADER in dict(signature_headers(b"{}", ["a_secret_of_16_or_more"], DeliveryId("d"), 1))


def test_the_service_is_looked_for_where_it_listens_by_default() -> None:
    assert f"http://{Settings().host}:{Settings().port}" == DEFAULT_URL
