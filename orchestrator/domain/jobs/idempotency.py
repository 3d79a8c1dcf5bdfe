"""Which submissions are the same."""

import hashlib
import json
from typing import Any

from orchestrator.domain.ids import CustomerId
from orchestrator.domain.jobs.job import JobSpec
from orchestrator.domain.jobs.spec_record import spec_to_record


def content_key(customer: CustomerId, url: str, method: str, body: str | bytes | None) -> str:
    """Derive the key of a job that brings none: SHA-256 over length-prefixed parts, so that no two
    different requests run together. An absent body counts as an empty one.
    """
    digest = hashlib.sha256()
    for part in (url, method, body or b"", customer):
        raw = part.encode() if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "big"))
        digest.update(raw)
    return digest.hexdigest()


def payload_bytes(spec: JobSpec) -> bytes:
    """Write a spec canonically: equal bytes mean that two submissions ask for the same."""
    return payload_of(spec_to_record(spec))


def payload_of(record: dict[str, Any]) -> bytes:
    """Write a spec canonically that is a record already."""
    return _canonical(record).encode()


_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
