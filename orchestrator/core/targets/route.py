"""One region's way to one target: its breaker, and how long it takes."""

from dataclasses import dataclass

from orchestrator.core.views import RouteView
from orchestrator.domain.health.answer_times import AnswerTimes
from orchestrator.domain.health.breaker import Breaker
from orchestrator.domain.health.latency import Latency
from orchestrator.domain.jobs.job import DEFAULT_HEDGE

_CLOSED = Breaker()
_UNKNOWN = Latency()


@dataclass(slots=True)
class Route:
    """``answers`` and ``failures`` count since it was first used; ``silent``: the last attempt got no answer
    at all. ``times`` are kept from its first hedge on; ``passed_over`` counts hedges that began in a quicker
    region since one last began here.
    """

    breaker: Breaker = _CLOSED
    latency: Latency = _UNKNOWN
    answers: int = 0
    failures: int = 0
    silent: bool = False
    times: AnswerTimes | None = None
    passed_over: int = 0

    def view(self, now: float) -> RouteView:
        """Show what is known of it at ``now`` (monotonic s)."""
        known = self.latency.answers
        return RouteView(
            self.breaker.state,
            self.breaker.cause,
            self.answers,
            self.failures,
            latency_s=self.latency.mean_s if known else None,
            late_after_s=self.late_after_s(DEFAULT_HEDGE.quantile, now) if known else None,
        )

    def late_after_s(self, quantile: float, now: float) -> float:
        """How long an answer may take before it is later than ``quantile`` of them are."""
        late_s = self.times.quantile(quantile, now) if self.times is not None else None
        return self.latency.late_after_s if late_s is None else late_s
