"""What nodes report to a shard, and whose matter it is."""

from typing import NoReturn

from orchestrator.core.targets.dispatcher import Dispatcher
from orchestrator.core.webhooks.dispatcher import WebhookDispatcher
from orchestrator.domain.ids import NodeAddress
from orchestrator.messages import types
from orchestrator.messages.types import Message


class NodeMessages:
    """Hands each message to the dispatcher that sent what it reports of.

    Args:
        attempts: Has what was sent to targets.
        webhooks: Has what was sent to receivers.
    """

    def __init__(self, attempts: Dispatcher, webhooks: WebhookDispatcher) -> None:
        self._attempts = attempts
        self._webhooks = webhooks

    def receive(self, sender: NodeAddress, message: Message) -> None:
        """Take a message from a node: what it reports counts if it is the one that has it.

        Raises:
            TypeError: It is none that a shard takes.

        """
        match message:
            case types.AnswerHeld():
                self._attempts.answer_held(sender, message)
            case types.AttemptDone():
                self._attempts.done(sender, message)
            case types.AttemptStarted():
                self._attempts.started(sender, message)
            case types.PermitUnused():
                self._attempts.unused(sender, message)
            case types.AttemptReady():
                self._attempts.ready(sender, message)
            case types.Delivered():
                self._webhooks.delivered(sender, message)
            case types.NeedResult():
                self._webhooks.needs_result(sender, message)
            case _:
                _refuse(message)


_ForNodes = (
    types.RunAttempt
    | types.GoAttempt
    | types.CancelAttempt
    | types.SendAnswer
    | types.Deliver
    | types.JobResult
    | types.DeliverySigned
    | types.Heartbeat
    | types.HeartbeatReply
    | types.SessionMessage
    | types.ShardHeartbeat
    | types.ShardHeartbeatReply
)


def _refuse(message: _ForNodes) -> NoReturn:
    msg = f"a shard does not take {type(message).__name__}"
    raise TypeError(msg)
