"""What an answer says besides the result, as Python warnings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ezthrottle._jobs.states import Ending
from ezthrottle._warnings import warn

# No ids in these: Python shows a warning once for a line only where its words are the same.
OTHER_PAYLOAD = (
    "A submission was not taken: a job with its idempotency key is known, and asked for something else "
    "(another url, method or body, or other headers, such as Authorization). The answer has the first job's "
    "job_id. Give the job a key of its own, or use IdempotentStrategy.UNIQUE."
)
ENDED_BADLY = (
    "A submission is the duplicate of a job that has {}, and does not run: the answer has the first job's "
    "job_id. Run that one again with replay(job_id), or give another idempotent_key, or use "
    "IdempotentStrategy.UNIQUE."
)
STEP_AGAIN = (
    "A step was executed a second time and answered as a duplicate of the first: nothing runs. For another "
    "request, change a copy() of the step; to run the same again, use IdempotentStrategy.UNIQUE."
)
ELSEWHERE = (
    "The webhook server listens in the process that this one was forked from: deliveries arrive there, and "
    "the service runs the FRUGAL steps that follow a job. Give this process a server of its own to run them."
)


def tell_of(answer: Mapping[str, Any]) -> None:
    """Warn of what a submission's answer says that its sender should know."""
    warnings = answer.get("warnings")
    for text in warnings if isinstance(warnings, list) else ():
        warn(f"The service says of a submission: {text}")
    if answer.get("status") != "duplicate":
        return
    if answer.get("payload_mismatch"):
        warn(OTHER_PAYLOAD)
    elif answer.get("state") in {Ending.FAILED.value, Ending.CANCELLED.value}:
        warn(ENDED_BADLY.format("failed" if answer["state"] == Ending.FAILED.value else "been cancelled"))
