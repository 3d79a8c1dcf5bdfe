"""Everything that shards, executors and the webhook actor say to each other.

Messages are small, versioned by ``codec.WIRE_VERSION``, and idempotent by attempt or delivery id:
the carrier may bring one twice.
"""

from msgspec import Struct, field

from orchestrator.domain.exchange import Fault, HttpRequest, HttpResponse, Phases
from orchestrator.domain.ids import AttemptId, DeliveryId, JobId

Headers = tuple[tuple[str, str], ...]


class RunAttempt(Struct, frozen=True, array_like=True, tag=1):
    """Shard to executor: do this, starting at ``start_at`` (the shard's monotonic seconds)."""

    attempt: AttemptId
    start_at: float
    request: HttpRequest


class GoAttempt(Struct, frozen=True, array_like=True, tag=2):
    """Shard to executor: the attempt that is ready may start at ``start_at``."""

    attempt: AttemptId
    start_at: float


class CancelAttempt(Struct, frozen=True, array_like=True, tag=3):
    """Shard to executor: close the attempt's connection. It may overtake its RunAttempt."""

    attempt: AttemptId


class PermitUnused(Struct, frozen=True, array_like=True, tag=4):
    """Executor to shard: the start time passed before a connection was ready; still connecting."""

    attempt: AttemptId


class AttemptReady(Struct, frozen=True, array_like=True, tag=5):
    """Executor to shard: a connection is ready and asks for a permit."""

    attempt: AttemptId


class AttemptStarted(Struct, frozen=True, array_like=True, tag=6):
    """Executor to shard: the first byte was written at ``at`` (the shard's monotonic seconds)."""

    attempt: AttemptId
    at: float


class AnswerHeld(Struct, frozen=True, array_like=True, tag=14):
    """Executor to shard: an answer is whole, its body so large (bytes) that it has to be asked for."""

    attempt: AttemptId
    size: int


class SendAnswer(Struct, frozen=True, array_like=True, tag=15):
    """Shard to executor: there is room for the answer that is held."""

    attempt: AttemptId


class AttemptDone(Struct, frozen=True, array_like=True, tag=7):
    """Executor to shard: an answer or a fault; the connection is closed or given back.

    ``started_at`` and ``answered_at`` are the shard's monotonic seconds, None where nothing was written, or
    no answer came. ``write_s`` and ``wait_s`` are ``exchange.Phases`` of an answered request that belongs to
    a trace, of which none is waited for 0 s, and 0 of others.
    """

    attempt: AttemptId
    started_at: float | None
    response: HttpResponse | None
    fault: Fault | None = None
    message: str = ""
    answered_at: float | None = None
    write_s: float = 0.0
    wait_s: float = 0.0

    @property
    def phases(self) -> Phases | None:
        """Where the time went, if that is told."""
        return Phases(self.write_s, self.wait_s) if self.wait_s else None


class Deliver(Struct, frozen=True, array_like=True, tag=8):
    """Shard to sender: send ``body`` with ``headers``, which are signed: secrets stay with the shard.

    A large body is None, and there are no headers: once it is to go the sender asks for both.
    """

    delivery: DeliveryId
    attempt: int
    url: str
    body: bytes | None
    headers: Headers
    job: JobId


class NeedResult(Struct, frozen=True, array_like=True, tag=12):
    """The sender to shard: a delivery of a large result is to go. ``has_body``: what is wanting is its
    signature alone, for the result came with another delivery of the job.
    """

    delivery: DeliveryId
    attempt: int
    has_body: bool = False


class JobResult(Struct, frozen=True, array_like=True, tag=13):
    """Shard to sender: the result of a job, for every delivery of it there."""

    job: JobId
    body: bytes


class DeliverySigned(Struct, frozen=True, array_like=True, tag=16):
    """Shard to sender: the headers of one delivery attempt whose body travels apart."""

    delivery: DeliveryId
    attempt: int
    headers: Headers


class Delivered(Struct, frozen=True, array_like=True, tag=9):
    """The sender's answer: how one delivery attempt ended. ``took_ms`` is its duration."""

    delivery: DeliveryId
    attempt: int
    status: int | None
    took_ms: int
    message: str = ""
    retry_after_s: float | None = None
    fault: Fault | None = None


class Heartbeat(Struct, frozen=True, array_like=True, tag=10):
    """Node to shard, every half second: which life of it this is, and which shard incarnation I work for.

    ``epoch`` is the last one heard; attempts of older ones are closed by then. ``vitals`` are numbers about
    the sender, by name, for the metrics. ``places`` is how many attempts it can take at once, where
    something of its own bounds that. ``heard_s`` counts the seconds since the last heartbeat that was
    answered was sent; None where none was, or nobody says. ``number`` counts an incarnation's heartbeats.
    """

    incarnation: str
    epoch: int
    vitals: dict[str, float] = field(default_factory=dict)
    places: int | None = None
    heard_s: float | None = None
    number: int = 0


class HeartbeatReply(Struct, frozen=True, array_like=True, tag=11):
    """Shard to node: its epoch and clock (monotonic seconds of the machine ``boot_id``). ``lease_s`` is for
    how long it may act from now on; None where no other can take its place.
    """

    epoch: int
    now: float
    boot_id: str
    lease_s: float | None = None


class SessionMessage(Struct, frozen=True, array_like=True, tag=17):
    """Shard to shard: what a job says to a target there, or a target to a job (``ports/targets.py``).

    ``kind`` says which record ``body`` holds, packed. ``number`` and ``after`` as in
    ``domain/cluster/in_order.py``, whose topic is the step.
    """

    job: JobId
    step: int
    number: int
    after: int
    kind: int
    body: bytes


class ShardHeartbeat(Struct, frozen=True, array_like=True, tag=18):
    """Shard to shard, every half second: its jobs are here under ``epoch``, and speak to your targets in
    ``session``, which is over where the answer does not name it. ``number`` counts an epoch's beats.
    """

    epoch: int
    session: int
    number: int


class ShardHeartbeatReply(Struct, frozen=True, array_like=True, tag=19):
    """Its answer: the epoch of the targets' shard, and the session that is open there; 0 if none is."""

    epoch: int
    session: int


Message = (
    RunAttempt
    | GoAttempt
    | CancelAttempt
    | PermitUnused
    | AttemptReady
    | AttemptStarted
    | AnswerHeld
    | SendAnswer
    | AttemptDone
    | Deliver
    | NeedResult
    | JobResult
    | DeliverySigned
    | Delivered
    | Heartbeat
    | HeartbeatReply
    | SessionMessage
    | ShardHeartbeat
    | ShardHeartbeatReply
)
