"""Whether an address may be called at all."""

from collections.abc import Sequence
from typing import Protocol


class TargetGuard(Protocol):
    """Judges URLs when they are submitted; connections are judged again where they are made."""

    async def refusals(self, urls: Sequence[str]) -> dict[str, str]:
        """Say why each URL whose host may not be called is refused. Those that may, and those whose
        host does not resolve, are left out.
        """
