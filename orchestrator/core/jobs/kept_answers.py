"""How much jobs under way keep of the answers that did not end them: in bytes, fair between customers."""

from orchestrator.domain.byte_budget import MIB, ByteBudget
from orchestrator.domain.execution.course import Course
from orchestrator.domain.execution.course_answers import kept_bytes, with_answers_cut
from orchestrator.domain.execution.run import LAST_SEEN_BYTES
from orchestrator.domain.ids import CustomerId

KEPT_BYTES = 32 * MIB
FEW_BYTES = 1_024


class KeptAnswers:
    """Counts kept answers; where there is no room they are cut, and marked: a job may go on for days."""

    def __init__(self) -> None:
        self._budget = ByteBudget(KEPT_BYTES)

    @property
    def used(self) -> int:
        """Bytes that are counted now."""
        return self._budget.used

    def keep(self, customer: CustomerId, course: Course, counted: int) -> tuple[Course, int]:
        """Count what a course keeps in place of what was ``counted`` for it; give the course, its answers cut
        as far as they have to be, and what is counted for it now.
        """
        size = kept_bytes(course)
        if size == counted:
            return course, counted
        self.forget(customer, counted)
        for most in (LAST_SEEN_BYTES, FEW_BYTES, 0):
            if self._budget.fits(customer, size):
                break
            course = with_answers_cut(course, most)
            size = kept_bytes(course)
        if size:
            self._budget.take(customer, size)
        return course, size

    def forget(self, customer: CustomerId, counted: int) -> None:
        """Count a job's answers no longer."""
        if counted:
            self._budget.give_back(customer, counted)
