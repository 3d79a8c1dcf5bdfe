"""Jobs: the list of them by filters, and their count."""

from starlette.responses import HTMLResponse, Response

from orchestrator.adapters.http.backend import Backend
from orchestrator.adapters.http.console.job_filter_form import SPANS, asked_for, filter_of, window_of
from orchestrator.adapters.http.console.pages import HEADERS, Pages
from orchestrator.adapters.http.console.visit import Visit
from orchestrator.adapters.http.console.wording import MANY, counted
from orchestrator.adapters.http.documents.jobs import page_of_all_document
from orchestrator.adapters.http.paging import read_cursor
from orchestrator.domain.execution.settling import FailureCode
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.webhooks.fanout import JobDelivery
from orchestrator.ports.store import JobPage

SHOWN = 50
LOOKED_FOR_S = 0.05
"""Then a page shows what was found, and offers to look on: a filter that nearly nothing fits costs no more.
"""
COUNTED_FOR_S = 0.1


class JobsPages:
    """Lists jobs."""

    def __init__(self, backend: Backend, pages: Pages) -> None:
        self._backend = backend
        self._jobs = backend.gateway.jobs
        self._pages = pages

    async def show(self, visit: Visit) -> Response:
        """Show a page of the jobs that fit, newest first."""
        asked = asked_for(visit)
        wanted = filter_of(visit, asked)
        cursor = visit.query.get("cursor", "")
        async with self._backend.results.page(visit.caller.customer):
            page = await self._jobs.listed(
                wanted, most=SHOWN, before=read_cursor(cursor), within_s=LOOKED_FOR_S
            )
        return self._pages.page(
            "jobs.html",
            visit=visit,
            asked=asked,
            cursor=cursor,
            window=window_of(asked),
            states=[*JobState],
            deliveries=[*JobDelivery],
            codes=[*FailureCode],
            spans=SPANS,
            looked_back_to=_looked_back_to(page),
            **page_of_all_document(page),
        )

    async def count(self, visit: Visit) -> Response:
        """Say how many jobs fit, no further than MANY and not for long: a part of the page, which comes
        once it is counted.
        """
        wanted = filter_of(visit, asked_for(visit))
        count = await self._jobs.count(wanted, MANY + 1, within_s=COUNTED_FOR_S)
        stopped = count.more and count.jobs <= MANY
        return HTMLResponse(f"{counted(count.jobs)}{'+' if stopped else ''}", headers=dict(HEADERS))


def _looked_back_to(page: JobPage) -> int | None:
    """Say until when (Unix ms of acceptance) jobs were looked through for a page that is not full, where
    there are earlier ones; an id begins with that moment.
    """
    if page.next is None or len(page.jobs) == SHOWN:
        return None
    return int(page.next.job_id.split("_")[1])
