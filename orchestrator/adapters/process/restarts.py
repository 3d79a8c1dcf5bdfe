"""The rule that says how often a driver may die before its parent gives up."""

from msgspec import Struct
from msgspec.structs import replace


class RestartBudget(Struct, frozen=True, kw_only=True):
    """Deaths within a rolling window of a monotonic clock (s); the ``limit``-th spends it. So does that many
    lives in a row which were never ready, however long they lasted.
    """

    limit: int = 3
    window_s: float = 60.0
    deaths_s: tuple[float, ...] = ()
    never_ready: int = 0

    def after_death(self, now_s: float, *, was_ready: bool = True) -> "RestartBudget":
        """Count a death at ``now_s``; those further back than the window are forgotten."""
        recent = (died_s for died_s in self.deaths_s if now_s - died_s <= self.window_s)
        never_ready = 0 if was_ready else self.never_ready + 1
        return replace(self, deaths_s=(*recent, now_s), never_ready=never_ready)

    @property
    def spent(self) -> bool:
        """Whether another start would only repeat the failure."""
        return max(len(self.deaths_s), self.never_ready) >= self.limit
