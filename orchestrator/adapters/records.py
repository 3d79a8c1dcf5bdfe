"""Domain records to msgpack and back, for columns that the database does not look into."""

from dataclasses import fields
from typing import Any

import msgpack
from msgspec.structs import astuple

from orchestrator.domain.exchange import Fault, HttpResponse
from orchestrator.domain.execution.course import Child, Course
from orchestrator.domain.execution.retry import Verdict
from orchestrator.domain.execution.run import Answer, Attempt, Leg, LegState, Run
from orchestrator.domain.jobs.job import JobSpec
from orchestrator.domain.jobs.spec_record import spec_from_record, spec_to_record
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.steering.learned import AccountTold, Learned
from orchestrator.domain.webhooks.fanout import JobDelivery

_ATTEMPT_FIELDS = Attempt.__struct_fields__
_TRACEPARENT = "traceparent"
"""Beside the fields of a spec: it is no part of what a submission asks for."""
_TOLD_FIELDS = tuple(field.name for field in fields(AccountTold))
_LATER_UNKNOWN: list[Any] = [None, False, ""]
"""What answers that were stored before it was kept have in place of ``asked`` and the two marks behind it."""
_LEG_FIELDS = Leg.__struct_fields__


def pack_spec(spec: JobSpec, traceparent: str | None = None) -> bytes:
    """Write a spec, and which trace its job belongs to where it was told one."""
    return pack_request(spec_to_record(spec), traceparent)


def pack_request(record: dict[str, Any], traceparent: str | None) -> bytes:
    """Write a spec that is a record already, as ``pack_spec`` does."""
    return _pack(record if traceparent is None else record | {_TRACEPARENT: traceparent})


def unpack_spec(data: bytes) -> JobSpec:
    """Read a spec."""
    return unpack_request(data)[0]


def unpack_request(data: bytes) -> tuple[JobSpec, str | None]:
    """Read a spec, and its job's ``traceparent``."""
    record = msgpack.unpackb(data)
    traceparent = record.pop(_TRACEPARENT, None)
    return spec_from_record(record), traceparent


def pack_quorum(spec: JobSpec) -> bytes | None:
    """Write down who votes on a job's delivery; None where nobody is told."""
    voters = [webhook.has_quorum_vote for webhook in spec.webhooks]
    return _pack([spec.webhook_quorum, voters]) if voters else None


def pack_delivery(delivery: JobDelivery) -> bytes:
    """Write down how a job's deliveries ended, where ``pack_quorum`` said who voted on them."""
    return _pack(delivery.value)


def unpack_quorum(data: bytes | None) -> tuple[int, list[bool]] | JobDelivery:
    """Read what ``pack_quorum`` (the quorum, and who votes) or ``pack_delivery`` wrote."""
    known: Any = msgpack.unpackb(data) if data else [1, []]
    if isinstance(known, str):
        return JobDelivery(known)
    quorum, voters = known
    return int(quorum), list(voters)


def pack_learned(learned: Learned) -> bytes:
    """Write what a target has taught."""
    values = {field.name: getattr(learned, field.name) for field in fields(Learned)}
    pace = learned.pace
    values["pace"] = None if pace is None else [pace.rps, pace.max_concurrent]
    values["accounts_told"] = [
        [getattr(told, name) for name in _TOLD_FIELDS] for told in learned.accounts_told
    ]
    return _pack(values)


def unpack_learned(data: bytes) -> Learned:
    """Read what a target has taught."""
    values = msgpack.unpackb(data)
    accounts = tuple((key, until_ms) for key, until_ms in values["accounts_paused"])
    pace = None if values["pace"] is None else Pace(*values["pace"])
    # What was stored before accounts had paces of their own does not have them.
    told = tuple(AccountTold(*fields) for fields in values.get("accounts_told", ()))
    return Learned(**values | {"pace": pace, "accounts_paused": accounts, "accounts_told": told})


def pack_course(course: Course) -> bytes:
    """Write a course."""
    runs = [None if run is None else _run_out(run) for run in course.runs]
    return _pack([runs, [[child.place, child.job_id, child.known] for child in course.children]])


def unpack_course(data: bytes) -> Course:
    """Read a course."""
    runs, children = msgpack.unpackb(data)
    return Course(
        tuple(None if run is None else _run_in(run) for run in runs),
        tuple(Child(place, job_id, known) for place, job_id, known in children),
    )


def _run_out(run: Run) -> dict[str, Any]:
    return {
        "legs": [astuple(leg) for leg in run.legs],
        "attempts": [astuple(attempt) for attempt in run.attempts],
        "counts": [run.made, run.retries, run.reroutes, run.crashes],
        "used": sorted(run.used_regions),
        "forgotten_written": run.forgotten_written,
        "answers": [_answer_out(answer) for answer in run.answers],
        "last_seen": _answer_out(run.last_seen) if run.last_seen else None,
    }


def _run_in(record: dict[str, Any]) -> Run:
    made, retries, reroutes, crashes = record["counts"]
    return Run(
        legs=tuple(_leg_in(values) for values in record["legs"]),
        attempts=tuple(_attempt_in(values) for values in record["attempts"]),
        made=made,
        retries=retries,
        reroutes=reroutes,
        crashes=crashes,
        used_regions=frozenset(record["used"]),
        # Runs that were stored before this was kept do not have it.
        forgotten_written=record.get("forgotten_written", False),
        answers=tuple(_answer_in(values) for values in record["answers"]),
        last_seen=_answer_in(record["last_seen"]) if record["last_seen"] else None,
    )


def _leg_in(values: list[Any]) -> Leg:
    named = dict(zip(_LEG_FIELDS, values, strict=True))
    named["state"] = LegState(named["state"])
    return Leg(**named)


def _attempt_in(values: list[Any]) -> Attempt:
    # What was stored before attempts told of their nodes has fewer.
    named = dict(zip(_ATTEMPT_FIELDS, values, strict=False))
    named["fault"] = named["fault"] and Fault(named["fault"])
    named["verdict"] = named["verdict"] and Verdict(named["verdict"])
    return Attempt(**named)


def _answer_out(answer: Answer) -> list[Any]:
    response = answer.response
    return [
        answer.region,
        response.status,
        response.headers,
        response.body,
        response.truncated,
        answer.asked,
        response.headers_truncated,
        response.incomplete,
    ]


def _answer_in(values: list[Any]) -> Answer:
    region, status, headers, body, truncated, *later = values
    asked, headers_truncated, incomplete = later + _LATER_UNKNOWN[len(later) :]
    response = HttpResponse(
        status=status,
        headers=headers,
        body=body,
        truncated=truncated,
        headers_truncated=headers_truncated,
        incomplete=incomplete,
    )
    return Answer(region, response, asked)


def _pack(value: object) -> bytes:
    packed: bytes = msgpack.packb(value)
    return packed
