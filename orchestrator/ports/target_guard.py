"""Whether an address may be called at all."""

from typing import Protocol


class TargetGuard(Protocol):
    """Judges URLs when they are submitted; connections are judged again where they are made."""

    async def refusal(self, url: str) -> str | None:
        """Say why the URL's host may not be called; None where it may, or where it does not resolve."""
