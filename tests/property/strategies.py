"""Whatever may pass through the service, drawn at random."""

from hypothesis import strategies as st
from msgspec.structs import replace

from orchestrator.domain.exchange import Fault, HttpRequest, HttpResponse
from orchestrator.domain.ids import AttemptId, CustomerId, DeliveryId, JobId, RegionName
from orchestrator.domain.jobs.job import (
    Fallback,
    HedgePolicy,
    JobSpec,
    RetryPolicy,
    Trigger,
    TriggerKind,
    Webhook,
)
from orchestrator.domain.jobs.policies import ExecutionMode, Guarantee, RegionPolicy
from orchestrator.domain.jobs.submission import METHODS
from orchestrator.messages.types import (
    AnswerHeld,
    AttemptDone,
    AttemptReady,
    AttemptStarted,
    CancelAttempt,
    Deliver,
    Delivered,
    DeliverySigned,
    GoAttempt,
    Heartbeat,
    HeartbeatReply,
    JobResult,
    Message,
    NeedResult,
    PermitUnused,
    RunAttempt,
    SendAnswer,
    SessionMessage,
    ShardHeartbeat,
    ShardHeartbeatReply,
)

TEXT = st.text(max_size=40)
BYTES = st.binary(max_size=200)
UNIX_MS = st.integers(0, 2**53)
STATUS = st.integers(100, 599)
SECONDS = st.floats(allow_nan=False, allow_infinity=False)
REGION = st.sampled_from(["iad", "lax", "ord", "sea"]).map(RegionName)
REGIONS = st.lists(REGION, min_size=1, max_size=4, unique=True).map(tuple)
HEADERS = st.lists(st.tuples(TEXT, TEXT), max_size=5).map(tuple)
CODES = st.frozensets(STATUS, max_size=6)
CUSTOMERS = st.sampled_from(["cust_acme", "cust_beta"]).map(CustomerId)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)
METADATA = st.dictionaries(TEXT, JSON, max_size=4)

WEBHOOKS = st.builds(Webhook, url=TEXT, regions=REGIONS | st.just(()), has_quorum_vote=st.booleans())
POLICIES = st.builds(
    RetryPolicy,
    max_retries=st.integers(0, 100),
    max_reroutes=st.integers(0, 100),
    retry_codes=CODES,
    reroute_codes=CODES,
)
HEDGES = st.builds(HedgePolicy, quantile=st.floats(0.01, 0.99), budget=st.floats(0, 1))
SINGLE_SPECS = st.builds(
    JobSpec,
    url=TEXT,
    method=st.sampled_from(METHODS),
    headers=HEADERS,
    body=st.none() | TEXT,
    metadata=METADATA,
    webhooks=st.lists(WEBHOOKS, max_size=3).map(tuple),
    webhook_quorum=st.integers(1, 20),
    regions=REGIONS,
    region_policy=st.sampled_from(RegionPolicy),
    execution_mode=st.sampled_from(ExecutionMode),
    retry_policy=st.none() | POLICIES,
    on_failure_timeout_ms=st.none() | UNIX_MS,
    idempotent_key=st.none() | TEXT,
    retry_at=st.none() | UNIX_MS,
    priority=st.integers(0, 9),
    timeout_ms=st.integers(1, 600_000),
    deadline_ms=UNIX_MS,
    guarantee=st.sampled_from(Guarantee),
    cost=st.floats(0, 1e300),
    account=st.none() | TEXT,
    hedge=HEDGES,
)
TRIGGERS = st.builds(Trigger, kind=st.sampled_from(TriggerKind), codes=CODES, timeout_ms=UNIX_MS)
SPECS = st.recursive(
    SINGLE_SPECS,
    lambda inner: st.builds(
        replace,
        SINGLE_SPECS,
        fallback=st.none() | st.builds(Fallback, TRIGGERS, inner),
        on_success=st.none() | inner,
        on_failure=st.none() | inner,
    ),
    max_leaves=3,
)

REQUESTS = st.builds(
    HttpRequest,
    method=st.sampled_from(METHODS),
    url=TEXT,
    headers=HEADERS,
    body=st.none() | BYTES,
    timeout_ms=st.integers(1, 600_000),
    fresh_connection=st.booleans(),
    status_suffices=st.booleans(),
)
RESPONSES = st.builds(
    HttpResponse,
    status=STATUS,
    headers=st.dictionaries(TEXT, TEXT, max_size=4),
    body=BYTES,
    truncated=st.booleans(),
    headers_truncated=st.booleans(),
    incomplete=TEXT,
)
HEARD = st.builds(replace, RESPONSES, repeated=st.dictionaries(TEXT, TEXT, max_size=2))
"""With lines about pace apart: once they were heard, nobody keeps those."""

ATTEMPTS = TEXT.map(AttemptId)
DELIVERIES = TEXT.map(DeliveryId)
COUNTS = st.integers(0, 2**63)
VITALS = st.dictionaries(TEXT, st.floats(0, 1e9), max_size=4)
MESSAGES: dict[type[Message], st.SearchStrategy[Message]] = {
    RunAttempt: st.builds(RunAttempt, ATTEMPTS, SECONDS, REQUESTS),
    GoAttempt: st.builds(GoAttempt, ATTEMPTS, SECONDS),
    CancelAttempt: st.builds(CancelAttempt, ATTEMPTS),
    PermitUnused: st.builds(PermitUnused, ATTEMPTS),
    AttemptReady: st.builds(AttemptReady, ATTEMPTS),
    AttemptStarted: st.builds(AttemptStarted, ATTEMPTS, SECONDS),
    AttemptDone: st.builds(
        AttemptDone,
        ATTEMPTS,
        st.none() | SECONDS,
        st.none() | HEARD,
        st.none() | st.sampled_from(Fault),
        TEXT,
        st.none() | SECONDS,
        SECONDS,
        SECONDS,
    ),
    Deliver: st.builds(
        Deliver,
        DELIVERIES,
        COUNTS,
        TEXT,
        st.none() | BYTES,
        HEADERS,
        TEXT.map(JobId),
    ),
    DeliverySigned: st.builds(DeliverySigned, DELIVERIES, COUNTS, HEADERS),
    AnswerHeld: st.builds(AnswerHeld, ATTEMPTS, COUNTS),
    SendAnswer: st.builds(SendAnswer, ATTEMPTS),
    NeedResult: st.builds(NeedResult, DELIVERIES, COUNTS, st.booleans()),
    JobResult: st.builds(JobResult, TEXT.map(JobId), BYTES),
    Delivered: st.builds(
        Delivered,
        DELIVERIES,
        COUNTS,
        st.none() | STATUS,
        COUNTS,
        TEXT,
        st.none() | SECONDS,
        st.none() | st.sampled_from(Fault),
    ),
    Heartbeat: st.builds(
        Heartbeat,
        TEXT,
        COUNTS,
        st.dictionaries(TEXT, st.floats(0, 1e9), max_size=4),
        st.none() | COUNTS,
    ),
    HeartbeatReply: st.builds(HeartbeatReply, COUNTS, SECONDS, TEXT),
    SessionMessage: st.builds(SessionMessage, TEXT.map(JobId), COUNTS, COUNTS, COUNTS, COUNTS, BYTES),
    ShardHeartbeat: st.builds(ShardHeartbeat, COUNTS, COUNTS, COUNTS),
    ShardHeartbeatReply: st.builds(ShardHeartbeatReply, COUNTS, COUNTS),
}
ANY_MESSAGE = st.one_of(*MESSAGES.values())
