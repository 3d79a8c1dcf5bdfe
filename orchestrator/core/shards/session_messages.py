"""The records that jobs and targets of two shards exchange, as messages of a session."""

from typing import get_args

import msgspec
from msgspec import Struct

from orchestrator.domain.cluster.in_order import InOrder, Numbered, Numbering
from orchestrator.domain.execution.course import PRIMARY
from orchestrator.domain.ids import JobId
from orchestrator.messages.codec import Header, WireError
from orchestrator.messages.types import Message, SessionMessage
from orchestrator.ports.targets import (
    AttemptEnded,
    Claim,
    Late,
    Placed,
    RegionsGone,
    RunStep,
    SendAttempt,
    Shut,
    Started,
    Turn,
    Withdraw,
)
from orchestrator.transport.mailbox import Mailbox

StepName = tuple[JobId, int]
"""A job and the number of one of its steps."""


class LineUp(Struct, frozen=True):
    """``Targets.line_up``."""

    claim: Claim
    spends: bool


class PassUp(Struct, frozen=True):
    """``Targets.pass_up``."""

    turn: Turn


class JobStored(Struct, frozen=True):
    """A job is on disk that is the other shard's, for its target is there. ``step`` is its first."""

    job: JobId
    step: int = PRIMARY


class DeliveriesStored(Struct, frozen=True):
    """A job's end is on disk, and receivers of its webhooks are at the other shard."""

    job: JobId
    step: int = PRIMARY


News = JobStored | DeliveriesStored
"""What one shard has put on disk for another."""
Order = LineUp | RunStep | PassUp | SendAttempt | Withdraw | JobStored | DeliveriesStored
"""What a job says to a target."""
Report = Turn | Placed | Started | AttemptEnded | Late | Shut | RegionsGone
"""What a target says to a job."""
Record = Order | Report

# By place in these lists: a new record comes at the end.
_KINDS: tuple[type[Record], ...] = (*get_args(Order), *get_args(Report))
_CODES = {kind: code for code, kind in enumerate(_KINDS)}
_DECODERS = {code: msgspec.msgpack.Decoder(kind) for kind, code in _CODES.items()}
_encode = msgspec.msgpack.Encoder().encode


def step_of_record(record: Record) -> StepName:
    """Say which step a record is about."""
    match record:
        case LineUp(claim):
            return claim.ticket.job_id, claim.ticket.step
        case Turn(_, ticket) | RunStep(Turn(_, ticket)) | PassUp(Turn(_, ticket)):
            return ticket.job_id, ticket.step
        case _:
            return record.job, record.step


class SessionSender:
    """Sends one side's records in a session; what is sent while there is none is dropped.

    Args:
        mailbox: The way there.
    """

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._numbering: Numbering[StepName] | None = None

    @property
    def open(self) -> bool:
        """Whether there is a session."""
        return self._numbering is not None

    def begin(self, header: Header) -> None:
        """Send in a new session."""
        self._mailbox.readdress(header)
        self._numbering = Numbering()

    def end(self) -> None:
        """The session is over: what was not received yet need not be."""
        self._mailbox.readdress(Header(0, ""))
        self._numbering = None

    def send(self, record: Record) -> None:
        """Send a record, if there is a session."""
        if self._numbering is not None:
            job, step = step_of_record(record)
            number, after = self._numbering.next((job, step))
            self._mailbox.post(
                SessionMessage(job, step, number, after, _CODES[type(record)], _encode(record))
            )

    def forget(self, step: StepName) -> None:
        """Nothing more is sent about a step."""
        if self._numbering is not None:
            self._numbering.forget(step)


class SessionReceiver:
    """Receives what a ``SessionSender`` sends in one session."""

    def __init__(self) -> None:
        self._in_order: InOrder[StepName, Record] = InOrder()

    def receive(self, message: Message) -> list[Record]:
        """Take a message; give what may be acted on now.

        Raises:
            WireError: It is none of a shard's, or can't be read.

        """
        if not isinstance(message, SessionMessage):
            msg = f"{type(message).__name__} is not what shards send"
            raise WireError(msg)
        try:
            record: Record = _DECODERS[message.kind].decode(message.body)
        except (LookupError, msgspec.DecodeError) as error:
            msg = f"a record of another shard's: {error!r}"
            raise WireError(msg) from error
        last = isinstance(record, Withdraw)
        name = message.job, message.step
        return self._in_order.take(Numbered(message.number, message.after, name, record, last))
