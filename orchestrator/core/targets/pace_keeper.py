"""What a target and the operator say about pace, and what follows for all that lets requests out."""

from math import inf

from orchestrator.core.targets.pace_view import PaceView
from orchestrator.core.targets.permits_out import PermitsOut
from orchestrator.core.targets.target_queue import TargetQueue
from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.ids import JobId
from orchestrator.domain.pace.active_limits import ActiveLimit
from orchestrator.domain.pace.overruling import Overruling, SetPace
from orchestrator.domain.pace.pacing import Limiter, Pace
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.requests.path_class import PathClass
from orchestrator.domain.steering.heard import Heard
from orchestrator.domain.steering.learned import Learned
from orchestrator.domain.steering.steering import Steering
from orchestrator.domain.steering.throttle import Throttle
from orchestrator.ports.clock import Clock, utc


class PaceKeeper:
    """Keeps a target's limiter to the pace in force, its queue to the gates and groups that follow from it,
    and lets new throttles count what is already out.
    """

    __slots__ = ("_clock", "_limiter", "_overruling", "_permits", "_queue", "_steering")

    def __init__(
        self,
        clock: Clock,
        steering: Steering,
        limiter: Limiter,
        queue: TargetQueue,
        permits: PermitsOut,
        overruling: Overruling,
    ) -> None:
        self._clock = clock
        self._steering = steering
        self._limiter = limiter
        self._queue = queue
        self._permits = permits
        self.overrule(overruling)

    @property
    def pace(self) -> Pace:
        """The pace in force."""
        return self._steering.pace

    @property
    def learned(self) -> Learned:
        """What the target has taught, to be kept."""
        return self._steering.learned(self._clock.now(), self._clock.unix_ms())

    @property
    def steered(self) -> bool:
        """Whether the pace in force is what the target asked for, and not the operator's."""
        return self._steering.steered

    @property
    def next_change_at(self) -> float:
        """When something lapses by itself (monotonic s); infinite where nothing does."""
        return self._steering.next_change_at

    @property
    def overruling(self) -> Overruling:
        """What the operator said, as far as it holds now."""
        said = self._overruling
        return said.at(self._clock.unix_ms()) if said.pace is not None else said

    @property
    def paused(self) -> bool:
        """Whether the operator holds the target."""
        return self._overruling.pause is not None

    def at_rest(self, now: float) -> bool:
        """Whether nothing that the target told holds any more."""
        return self._steering.at_rest(now)

    def view(self, opens_at: float, breaker: ActiveLimit | None) -> PaceView:
        """Show what holds now; ``opens_at`` is when a way to the target opens, ``breaker`` what shuts all."""
        now = self._clock.now()
        self.let_lapse(now)
        return PaceView(
            now,
            self._steering,
            self._limiter,
            self._queue,
            self.overruling,
            place_s=self._permits.place_s,
            starts=self._permits.starts,
            opens_at=opens_at,
            breaker=breaker,
        )

    def overrule(self, overruling: Overruling) -> None:
        """Keep to what the operator says from now on."""
        self._overruling = overruling
        self._steering.overrule(*self._set())
        self._queue.open_all()
        self._follow()

    def forget_learned(self, *, but_queues: bool) -> None:
        """Forget what the target taught; ``but_queues``: not whether each account has a queue of its own."""
        self._steering.forget(but_queues=but_queues)
        self._queue.open_all()
        self._follow()

    def begin_windows(self, at: float) -> None:
        """Count what may have started until monotonic ``at``, by an earlier life, in every window."""
        self._limiter.pause(at + self.pace.window_s)
        self._steering.binding.accounts.begin_windows(at)

    def classify(self, permit: int, path: PathClass) -> bool:
        """Note what a permit's request asks for, where its ticket does not say; False where such requests
        wait for a turn of their own.
        """
        ticket = self._permits.ticket(permit)
        if ticket is None or ticket.path:
            return True
        return self._steering.binding.judge.apart(self._permits.classify(permit, path)) is None

    def let_lapse(self, now: float) -> None:
        """Let go of what is over."""
        if now >= self._steering.next_change_at:
            self._steering.lapse(now)
            self._queue.open_all()
            self._follow()

    def hear(
        self,
        permit: int | None,
        response: HttpResponse,
        started_at: float,
        answered_at: float,
        *,
        probe: bool,
    ) -> bool:
        """Take what an answer said about pace; say whether anything changed that is worth keeping."""
        known = None if permit is None else self._permits.ticket(permit)
        ticket = known or _NOBODY
        heard = Heard(
            response.status,
            response.lines_apart,
            ticket.customer,
            ticket.account,
            started_at,
            answered_at,
            probe,
            ticket.job_id,
            ticket.path,
            None if known is None else known.cost,
        )
        now, count_in = self._clock.now(), self._permits.count_in
        changed = self._steering.hear(heard, self._limiter, now, utc(self._clock), count_in)
        for throttle in self._steering.binding.throttles.known(ticket.customer, ticket.account):
            count_in(throttle)
        self._follow()
        if changed:
            self._permits.count_in_accounts(now)
        self._queue.look_again(ticket)
        return changed

    def _set(self) -> tuple[SetPace | None, float]:
        """Give the pace that the operator set, and until when (monotonic s)."""
        pace = self._overruling.pace
        if pace is None or pace.until_ms is None:
            return pace, inf
        return pace, self._clock.now() + (pace.until_ms - self._clock.unix_ms()) / 1000

    def _follow(self) -> None:
        """Bring limiter, gates and queue in line with what the target said."""
        accounts, now = self._steering.binding.accounts, self._clock.now()
        before = accounts.each
        self._steering.share(now)
        if before is None and accounts.each is not None:
            self._part(accounts.untold(now), now)
        self._limiter.pace = self._steering.together
        self._queue.follow()

    def _part(self, untold: Throttle, now: float) -> None:
        """From now on some account keeps to a pace of its own, and the others to the domain's without it."""
        # Until now all was let out by the domain's pace, so it counts there, whosever it is.
        self._limiter.pause(now + self.pace.window_s)
        untold.told.remember(self._limiter)
        self._permits.count_all_in(untold)


_NOBODY = Ticket(0, JobId(""))
