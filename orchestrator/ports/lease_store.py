"""Who has a shard, as the store knows it: its epoch and its beat."""

from typing import Protocol

from orchestrator.domain.cluster.lease import Beat


class LeaseStore(Protocol):
    """The lease of one shard. From ``begin_epoch`` on all that its store writes is written in that epoch."""

    @property
    def held_by_lock(self) -> bool:
        """Whether nobody else can take the shard while this is open: its lease needs no beats."""

    async def last_beat(self) -> Beat:
        """Read what whoever has the shard wrote last; of epoch 0 where nobody ever had it."""

    async def begin_epoch(self, seen: Beat | None = None) -> int:
        """Take the shard: raise its epoch, 1 on a new store, by which whoever had it is fenced. What is read
        from then on is all that was ever committed for it. ``seen`` is the beat that must not have changed.

        Raises:
            StillBeating: It has.
        """

    async def beat(self) -> None:
        """Say that this one goes on, for who watches."""
