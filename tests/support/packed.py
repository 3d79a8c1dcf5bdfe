"""What jobs and targets say to each other, packed and unpacked on its way as between two processes."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from orchestrator.core.shard import Shard


class Packed:
    """One of the two sides, seen from afar: nothing reaches it but what a message can carry."""

    def __init__(self, far: Any, carried: Counter[str]) -> None:
        self._far = far
        self._carried = carried

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Say something to it."""
        say = getattr(self._far, name)

        def pack(message: Any, **options: bool) -> Any:
            return say(self._carry(message), **options)

        return pack

    def _carry(self, message: Any) -> Any:
        if isinstance(message, list):
            return [self._carry(each) for each in message]
        self._carried[type(message).__name__] += 1
        return msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=type(message))


def talk_packed(shard: Shard) -> Counter[str]:
    """Let a shard's jobs and targets say all that they say in packed messages; count these by kind."""
    carried: Counter[str] = Counter()
    shard.jobs.table._context = replace(
        shard.jobs.table._context, targets=Packed(shard.targets.steps, carried)
    )
    shard.targets.steps.begin(Packed(shard.jobs.table, carried))
    return carried
