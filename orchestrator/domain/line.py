"""Where a job stands at its target: its place among what waits, as accounts take turns."""

from bisect import bisect_left
from collections.abc import Hashable

from orchestrator.domain.ids import JobId

Entry = tuple[int, JobId]
"""Order key and job: sorted as the fair queue sorts within an account."""


class Line:
    """A sorted index beside the fair queue, which knows only who is next. Entries mostly come at the end
    and leave at the front, so that adding and removing cost next to nothing; a place is O(log n + accounts).
    """

    __slots__ = ("_accounts",)

    def __init__(self) -> None:
        self._accounts: dict[Hashable, list[Entry]] = {}
        """In the order of their turns."""

    def __bool__(self) -> bool:
        """Whether anybody waits."""
        return bool(self._accounts)

    def add(self, account: Hashable, entry: Entry) -> None:
        """A job waits; adding it twice changes nothing."""
        entries = self._accounts.setdefault(account, [])
        if not entries or entries[-1] < entry:
            entries.append(entry)
            return
        index = bisect_left(entries, entry)
        if entries[index] != entry:
            entries.insert(index, entry)

    def remove(self, account: Hashable, entry: Entry) -> None:
        """A job had its turn, which puts its account last."""
        entries = self._accounts.get(account, [])
        index = bisect_left(entries, entry)
        if index == len(entries) or entries[index] != entry:
            return
        del entries[index]
        del self._accounts[account]
        if entries:
            self._accounts[account] = entries

    def place(self, account: Hashable, entry: Entry) -> int | None:
        """Say how many jobs start up to and with this one; None where it does not wait."""
        entries = self._accounts.get(account, [])
        ahead = bisect_left(entries, entry)
        if ahead == len(entries) or entries[ahead] != entry:
            return None
        others, turns = 0, ahead + 1
        for other, waiting in self._accounts.items():
            if other == account:
                # Those behind in the round have had one turn less when this one comes.
                turns = ahead
            else:
                others += min(len(waiting), turns)
        return others + ahead + 1

    def waiting(self, account: Hashable) -> int:
        """Count an account's entries."""
        return len(self._accounts.get(account, ()))
