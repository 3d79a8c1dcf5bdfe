"""What takes a mailbox's batches to another Ray actor."""

from typing import Any

import ray

from orchestrator.wire import names


class RayCarrier:
    """Carries batches to the actor of a name. It is named, not held: after a call that failed it is looked up
    again, and found if it was started anew.
    """

    def __init__(self, actor_name: str) -> None:
        self._actor_name = actor_name
        self._handle: Any = None

    async def __call__(self, batch: bytes) -> None:
        """Carry one batch; raises whatever Ray does where that failed or may have failed."""
        if self._handle is None:
            self._handle = ray.get_actor(self._actor_name, namespace=names.NAMESPACE)
        try:
            await self._handle.deliver.remote(batch)
        except Exception:
            self._handle = None
            raise
