"""What operators did: who, what, when, from where. No secret stands in it, and nothing is taken out."""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from orchestrator.domain.access.roles import Caller


class Act(StrEnum):
    """What is written down."""

    KEY_CREATED = "key.created"
    KEY_REVOKED = "key.revoked"
    PLAN_SET = "customer.plan_set"
    """Of all valid keys of a customer: ``detail`` has the plan."""
    DOMAIN_RESET = "domain.reset"
    DOMAIN_PAUSED = "domain.paused"
    DOMAIN_RESUMED = "domain.resumed"
    PACE_SET = "domain.pace_set"
    PACE_LIFTED = "domain.pace_lifted"
    REGION_DRAINED = "region.drained"
    REGION_UNDRAINED = "region.undrained"
    LOG_LEVEL_SET = "log_level.set"
    JOB_CANCELLED = "job.cancelled"
    JOB_REPLAYED = "job.replayed"
    JOB_REDELIVERED = "job.redelivered"
    JOBS_CANCELLED = "jobs.cancelled"
    """Many of a customer's: ``detail`` has the filter."""
    JOBS_REPLAYED = "jobs.replayed"
    WEBHOOKS_REDELIVERED = "webhooks.redelivered"


Detail = str | float | None


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One act. ``detail`` holds what was set, in plain values."""

    at_ms: int
    """Unix ms."""
    act: str
    """One of ``Act``, or what another version wrote."""
    subject: str
    """A key's id, a domain, a job's id, whatever it was done to."""
    who: str
    """The id of the key that the call carried; of the command line, the user of the system."""
    customer: str = ""
    """Whose key that is; empty for the command line."""
    origin: str
    """The address that the call came from, or the machine whose command line it was."""
    detail: Mapping[str, Detail] = {}


class AuditLine(Struct, frozen=True):
    """An entry in its place: later ones have higher numbers."""

    number: int
    entry: AuditEntry


class AuditFilter(Struct, frozen=True, kw_only=True):
    """Which entries are meant: what is left out means all. Unix ms; ``before`` is the number of a line."""

    since_ms: int = 0
    until_ms: int = 2**62
    before: int = 2**62


def act_of(caller: Caller, act: Act, subject: str, at_ms: int, **detail: Detail) -> AuditEntry:
    """Write an act of a caller's down."""
    return AuditEntry(
        at_ms=at_ms,
        act=act,
        subject=subject,
        who=caller.key_id,
        customer=caller.customer,
        origin=caller.origin,
        detail=detail,
    )
