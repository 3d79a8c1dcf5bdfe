"""The JSON schemas of what queries hold, and what successful statuses mean: what several calls share."""

from collections.abc import Mapping

from orchestrator.adapters.http.openapi import JsonSchema, several
from orchestrator.adapters.http.paging import PAGE_DEFAULT, PAGE_MOST
from orchestrator.adapters.http.schema import SAFE_INT_MOST
from orchestrator.domain.execution.settling import FailureCode
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.jobs.submission_bounds import KEY_LENGTH_MOST
from orchestrator.domain.webhooks.fanout import JobDelivery

TIME: JsonSchema = {"type": "integer", "minimum": 0, "maximum": SAFE_INT_MOST, "description": "Unix ms"}
TIMES: Mapping[str, JsonSchema] = {"since": TIME, "until": TIME}
PAGE: Mapping[str, JsonSchema] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": PAGE_MOST, "default": PAGE_DEFAULT},
    "cursor": {"type": "string", "description": "next_cursor of the page before"},
}
HOST: JsonSchema = {
    "type": "string",
    "maxLength": 512,
    "description": "A host, with its port unless that is 443",
}
CUSTOMER: JsonSchema = {"type": "string", "maxLength": 64, "description": "A customer's id"}
JOB_FILTERS: Mapping[str, JsonSchema] = {
    "state": several(JobState),
    "domain": HOST,
    "delivery": several(JobDelivery),
    "code": {"type": "string", "enum": [*FailureCode]},
    **TIMES,
    "idempotent_key": {"type": "string", "maxLength": KEY_LENGTH_MOST},
}
ACCEPTED = {202: "Taken"}
SUBMITTED = {202: "Taken: it is on disk", 200: "A duplicate of a job that is known"}
