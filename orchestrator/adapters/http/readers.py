"""Jobs as a key of the role read sees them: without what was sent and what came back."""

from msgspec.structs import replace

from orchestrator.adapters.http.large_answers import SharedResults
from orchestrator.core.views import JobRemains, JobView
from orchestrator.domain.results.report import without_bodies
from orchestrator.ports.store import StoredJob


async def view_without_bodies(results: SharedResults, view: JobView | JobRemains) -> JobView | JobRemains:
    """Leave the bodies out of a job's result, or of what is left of one."""
    match view:
        case JobView():
            return replace(view, stored=await stored_without_bodies(results, view.stored))
        case JobRemains():
            return replace(view, result=without_bodies(view.result) if view.result else None)


async def stored_without_bodies(results: SharedResults, stored: StoredJob) -> StoredJob:
    """Leave the bodies out of a job's result; one that is large waits until there is room to read it.

    Raises:
        Conflict: It is past its keeping.
    """
    if stored.result is not None:
        return replace(stored, result=without_bodies(stored.result))
    if not stored.result_bytes:
        return stored
    job = stored.job
    async with results.borrow(job.customer, job.id, stored.result_bytes) as result:
        return replace(stored, result=without_bodies(result), result_bytes=0)
