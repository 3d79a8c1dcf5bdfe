"""What a submission has to pass before it is stored: its fields, and the addresses that it calls."""

from collections.abc import Mapping, Sequence

from orchestrator.domain.errors import EZThrottleError, FieldError, InvalidFields, TargetNotAllowed
from orchestrator.domain.ids import RegionName
from orchestrator.domain.jobs.job import JobSpec
from orchestrator.domain.jobs.submission import check_submission
from orchestrator.domain.jobs.submission_bounds import SubmissionBounds
from orchestrator.ports.clock import Clock
from orchestrator.ports.target_guard import TargetGuard
from orchestrator.runtime.cooperative_yield import CooperativeYield
from orchestrator.runtime.faults import internal_fault


class SubmissionChecks:
    """Checks one submission, or those of a batch.

    Args:
        clock: Time; others have the loop between the submissions of a batch.
        guard: Which targets may be called.
        bounds: What a submission may be.
        regions: Where jobs may run; it may change.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        guard: TargetGuard,
        bounds: SubmissionBounds,
        regions: Sequence[RegionName],
    ) -> None:
        self._clock = clock
        self.guard = guard
        self.bounds = bounds
        self._regions = regions

    def check(self, spec: JobSpec, now_ms: int) -> None:
        """Check the fields of one submission.

        Raises:
            InvalidFields: Fields are wrong; all are named.
        """
        if errors := self.errors_in(spec, now_ms):
            raise InvalidFields(errors)

    def errors_in(self, spec: JobSpec, now_ms: int) -> list[FieldError]:
        """List everything that is wrong with a submission, its fallbacks and children included."""
        return check_submission(spec, known_regions=self._regions, bounds=self.bounds, now_ms=now_ms)

    async def judge(
        self, specs: Sequence[JobSpec | EZThrottleError], now_ms: int
    ) -> list[JobSpec | EZThrottleError]:
        """Check each submission of a batch as if it had come alone: what is wrong goes back as an error."""
        breather = CooperativeYield(self._clock.now)
        judged: list[JobSpec | EZThrottleError] = []
        for spec in specs:
            judged.append(self._checked(spec, now_ms))
            await breather.pause()
        urls = [url for spec in judged if isinstance(spec, JobSpec) for url in urls_of(spec)]
        refusals = await self.guard.refusals(urls)
        return [
            spec if isinstance(spec, EZThrottleError) else first_refusal(spec, refusals) or spec
            for spec in judged
        ]

    def _checked(self, spec: JobSpec | EZThrottleError, now_ms: int) -> JobSpec | EZThrottleError:
        if isinstance(spec, EZThrottleError):
            return spec
        try:
            self.check(spec, now_ms)
        except InvalidFields as error:
            return error
        except Exception as error:  # noqa: BLE001  # one job's must not cost the others their answers
            return internal_fault(error)
        return spec


def first_refusal(spec: JobSpec, refusals: Mapping[str, str]) -> TargetNotAllowed | None:
    """Refuse a job for the first of its URLs that may not be called; None where there is none."""
    if not refusals:
        return None
    return next((TargetNotAllowed(refusals[url]) for url in urls_of(spec) if url in refusals), None)


def urls_of(spec: JobSpec) -> list[str]:
    """List every URL that a job may call."""
    parts = [part for _, part in spec.parts()]
    return [url for part in parts for url in (part.url, *(webhook.url for webhook in part.webhooks))]
