"""What a target's refusals are about: its rate, or a path class that it refuses whatever the rate."""

from orchestrator.domain.ids import AccountId
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.requests.path_class import SUSPECTS, PathClass
from orchestrator.domain.steering.heard import REFUSALS, Heard
from orchestrator.domain.steering.refusals import AnsweredPaths, Finding, Judgement, Refusal, Refusals
from orchestrator.domain.steering.throttles import Throttles
from orchestrator.domain.steering.troubles import Troubles


class RefusalJudge:
    """Keeps path classes in trouble apart, and takes back what their refusals did to the rate. All times are
    monotonic seconds.
    """

    __slots__ = ("_answered", "_throttles", "troubles")

    def __init__(self, throttles: Throttles) -> None:
        self._throttles = throttles
        self._answered = AnsweredPaths()
        self.troubles: Troubles | None = None

    def apart(self, ticket: Ticket) -> PathClass | None:
        """Say with what a request waits apart from others of its account: its path class, or where its job
        alone is suspect SUSPECTS; None where it does not.
        """
        if self.troubles is None:
            return None
        account = self._throttles.find(ticket.account) if ticket.account else None
        bound = (throttle for throttle in (self._throttles.own, account) if throttle is not None)
        known = [throttle.refusals for throttle in bound if throttle.refusals is not None]
        # No class waits behind another one: that may be well long before.
        if self.in_trouble(ticket) or any(refusals.suspects_class(ticket.path) for refusals in known):
            return ticket.path
        return SUSPECTS if any(refusals.suspects_job(ticket.job_id) for refusals in known) else None

    def in_trouble(self, ticket: Ticket) -> bool:
        """Whether a request is of a path class in trouble, and waits for a part of its share."""
        return self.troubles is not None and self.troubles.hold(ticket.account, ticket.path)

    def judge(self, heard: Heard, pace: Pace, now: float, *, asks_to_wait: bool, stated: bool) -> Finding:
        """Say what a refusal is about, and take back earlier ones that were no matter of the rate.

        Args:
            heard: The answer that refused.
            pace: The one in force.
            now: The present.
            asks_to_wait: Whether it named a wait that lies ahead, or told of its limits.
            stated: Whether the target states its pace where it lets requests through.

        """
        account = heard.account if heard.binds_account else None
        judgement = self._refusals(heard, account, now).judge(
            Refusal(heard.job, heard.customer, heard.path, heard.started_at, asks_to_wait), now, stated=stated
        )
        self._take_back(judgement, account)
        self.troubles = Troubles(pace) if self.troubles is None else self.troubles
        if judgement.finding is Finding.CONTAINED:
            self.troubles.begin(account, heard.path, heard.customer)
        elif judgement.finding is Finding.HOLDS:
            for held in self._throttles.known(heard.customer, account):
                held.hold_rate(now)
        return judgement.finding

    def contains(self, heard: Heard) -> bool:
        """Whether an answer, be it a probe's, refuses what is of a path class in trouble already."""
        if heard.status not in REFUSALS or self.troubles is None:
            return False
        return self.troubles.of(heard.account if heard.binds_account else None, heard.path)

    def answered(self, heard: Heard, now: float) -> None:
        """A request was let through."""
        self._answered.note(heard.path, now)
        if self.troubles is not None:
            self.troubles.heard_answer(heard.account, heard.path)
        for throttle in self._throttles.known(heard.customer, heard.account):
            if throttle.refusals is not None:
                throttle.refusals.heard_answer(heard.job, heard.customer, heard.path, heard.started_at, now)

    def doubt_tried_rates(self) -> None:
        """The target states a pace where it lets requests through, as it did not before: that outweighs what
        was found by trying, unless it refuses many all the same.
        """
        for throttle in self._throttles.all():
            if not (throttle.refusals is not None and throttle.refusals.many):
                throttle.forget_rate()

    def forget(self) -> None:
        """Let no path class be in trouble."""
        self.troubles = None

    def _refusals(self, heard: Heard, account: AccountId | None, now: float) -> Refusals:
        throttles = self._throttles
        throttle = throttles.domain() if account is None else throttles.account(account, heard.customer, now)
        if throttle.refusals is None:
            throttle.refusals = Refusals(self._answered if account is None else self._answered.copy())
        return throttle.refusals

    def _take_back(self, judgement: Judgement, account: AccountId | None) -> None:
        for job, customer in judgement.withdrawn:
            for throttle in self._throttles.known(customer, account):
                throttle.withdraw(job)
