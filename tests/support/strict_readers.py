"""The service's answers, read as strictly as the published clients of typed languages read them.

Where Python's own client takes what comes, Go's ``encoding/json`` refuses a fraction for a whole number and a
number for a string (a null it takes for both). All judge a submission by the status in its envelope.
"""

import json
import math
from dataclasses import dataclass
from typing import Any

GO_TAKEN = 201
ENVELOPE = {"scope": "customer", "metric_name": "", "method": "POST", "headers": {}}
Fields = dict[str, type]

ENVELOPE_FIELDS: Fields = {"status": str, "forwarded_response": dict, "error": str, "retry_at": int}
FORWARDED_FIELDS: Fields = {"status_code": int, "headers": dict, "body": str}
TAKEN_FIELDS: Fields = {
    "job_id": str,
    "status": str,
    "idempotent_key": str,
    "queued_at": int,
    "position": int,
    "estimated_processing_time": int,
}
WEBHOOK_FIELDS: Fields = {
    "job_id": str,
    "idempotent_key": str,
    "status": str,
    "response": dict,
    "metadata": dict,
}
RESPONSE_FIELDS: Fields = {"status_code": int, "headers": dict, "body": str}


class UnreadableError(Exception):
    """The client would have raised: the job counts as failed, though it runs."""


@dataclass(frozen=True, slots=True)
class GoReader:
    """Unmarshals into structs: a field may be absent or null, but never of another type."""

    def job(self, status: int, text: str) -> dict[str, Any]:
        """Read the answer to an enveloped submission; Go's client takes 201 for a job, and nothing else."""
        forwarded = self.forwarded(status, text)
        if forwarded["status_code"] != GO_TAKEN:
            raise UnreadableError(f"job creation failed: {forwarded['status_code']} {forwarded['body']}")
        return self.struct(forwarded["body"], TAKEN_FIELDS)

    def forwarded(self, status: int, text: str) -> dict[str, Any]:
        """Open an envelope."""
        envelope = self.struct(text, ENVELOPE_FIELDS)
        if status != 200 or envelope["status"] != "allowed":
            raise UnreadableError(f"the proxy answered {status}: {envelope}")
        return self.struct(json.dumps(envelope["forwarded_response"]), FORWARDED_FIELDS)

    def struct(self, text: str, fields: Fields) -> dict[str, Any]:
        """Unmarshal one object. A map of headers is ``map[string]string``."""
        document = json.loads(text)
        if not isinstance(document, dict):
            raise UnreadableError(f"cannot unmarshal {text[:40]} into a struct")
        for name, kind in fields.items():
            value = document.get(name)
            # A bool is an int to Python alone, and 1.0 is no int to Go.
            if value is not None and type(value) is not kind:
                raise UnreadableError(f"cannot unmarshal {value!r} into field {name} of type {kind.__name__}")
        if any(type(value) is not str for value in (document.get("headers") or {}).values()):
            raise UnreadableError(f"cannot unmarshal {document['headers']} into map[string]string")
        return document


@dataclass(frozen=True, slots=True)
class NodeReader:
    """Checks statuses, and takes any number that is a safe integer where it means one."""

    def job(self, status: int, text: str) -> dict[str, Any]:
        """Read the answer to an enveloped submission: any inner 2xx is a job that was taken."""
        envelope = json.loads(text)
        if status != 200 or envelope["status"] == "denied":
            raise UnreadableError(f"the proxy answered {status}: {envelope}")
        forwarded = envelope["forwarded_response"]
        if not 200 <= forwarded["status_code"] < 300:
            raise UnreadableError(forwarded["body"])
        document: dict[str, Any] = json.loads(forwarded["body"])
        for name in ("queued_at", "position", "estimated_processing_time"):
            value = document.get(name, 0)
            if not (math.isfinite(value) and value == int(value) and abs(value) < 2**53):
                raise UnreadableError(f"{name} is no safe integer: {value}")
        return document


def envelope_of(base_url: str, job: dict[str, Any]) -> dict[str, Any]:
    """Wrap a submission as the published clients do."""
    return ENVELOPE | {"target_url": f"{base_url}/api/v1/jobs", "body": json.dumps(job)}
