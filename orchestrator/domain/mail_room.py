"""What waits in the mailboxes of a process, or is on its way: of all in bytes, fair between peers."""

from collections.abc import Callable
from typing import Protocol

from orchestrator.domain.byte_budget import MIB

MAIL_BYTES = 16 * MIB
"""One peer has half of it at most: what a connection may have under way, which fills 60 ms at 1 Gbit/s."""
TOLD_AT = 0.75
"""Of what a peer may have: with less it hears that there is room, so that its way never runs dry."""


class MailCount(Protocol):
    """What a message counts in while it waits, and until it has arrived."""

    def take(self, size: int) -> None:
        """Count bytes, whether they fit or not."""

    def give_back(self, size: int) -> None:
        """Count them no longer."""


class Uncounted:
    """For mailboxes whose messages are counted elsewhere."""

    def take(self, size: int) -> None:
        """Count nothing."""

    def give_back(self, size: int) -> None:
        """Count nothing."""


class MailRoom:
    """The room of one process. No peer may have more than it leaves free, as in ``domain/byte_budget.py``;
    but this is asked several times for each attempt, and is one comparison.
    """

    def __init__(self, most: int = MAIL_BYTES) -> None:
        self.most = most
        self.used = 0
        self.short: list[MailShare] = []
        """Who was told that there is no room."""

    def tell(self) -> None:
        """Call those who were told so, and have some now."""
        able = [share for share in self.short if share.held <= TOLD_AT * (self.most - self.used)]
        for share in able:
            self.short.remove(share)
            share.on_room()


class MailShare:
    """What one peer's mailbox has of it. ``on_room`` is called when it may have more, after it was told that
    it may not.
    """

    def __init__(self, room: MailRoom) -> None:
        self._room = room
        self.held = 0
        self.on_room: Callable[[], None] = lambda: None

    def admits(self) -> bool:
        """Whether one message more may be posted, however large."""
        room = self._room
        if self.held < room.most - room.used:
            return True
        if self not in room.short:
            room.short.append(self)
        return False

    def take(self, size: int) -> None:
        """Count bytes, whether they fit or not."""
        self.held += size
        self._room.used += size

    def give_back(self, size: int) -> None:
        """Count them no longer."""
        self.held -= size
        self._room.used -= size
        if self._room.short:
            self._room.tell()
