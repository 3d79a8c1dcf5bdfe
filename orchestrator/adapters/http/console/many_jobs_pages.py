"""Cancel or replay all jobs that a filter names: counted first, confirmed, then watched."""

from http import HTTPStatus
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from orchestrator.adapters.http.access import JOBS_PATH
from orchestrator.adapters.http.backend import Backend
from orchestrator.adapters.http.console.job_filter_form import asked_for, filter_of, window_of
from orchestrator.adapters.http.console.many_jobs_acts import ManyAct, ManyJobsActs
from orchestrator.adapters.http.console.pages import Pages
from orchestrator.adapters.http.console.paths import ROOT
from orchestrator.adapters.http.console.visit import Handler, Visit
from orchestrator.adapters.http.console.wording import MANY
from orchestrator.adapters.http.paging import wrong
from orchestrator.domain.access.audit import Act
from orchestrator.domain.ids import CustomerId
from orchestrator.ports.store import JobFilter

CALLS = {act: f"POST {JOBS_PATH}:{act}" for act in ManyAct}
"""The call of the API that does the same."""
COUNT_DIGITS = 6
AUDITED = {ManyAct.CANCEL: Act.JOBS_CANCELLED, ManyAct.REPLAY: Act.JOBS_REPLAYED}


class ManyJobsPages:
    """Counts, asks, and does."""

    def __init__(self, backend: Backend, pages: Pages) -> None:
        self._jobs = backend.gateway.jobs
        self._administration = backend.gateway.administration
        self._pages = pages
        self._acts = ManyJobsActs()

    def ask(self, act: ManyAct) -> Handler:
        """Give what shows with how many jobs something would be done, and asks whether it shall be."""

        async def show(visit: Visit) -> Response:
            asked = asked_for(visit)
            wanted = _wanted(visit, asked)
            # The page comes at once, and asks for itself with the count: that may take its time.
            count = await self._count(act, wanted) if "counted" in visit.query else None
            return self._pages.page(
                "many_jobs.html", visit=visit, act=act, asked=asked, window=window_of(asked), count=count
            )

        return show

    def begin(self, act: ManyAct) -> Handler:
        """Give what begins it, and shows how far it is."""
        many = self._jobs.many
        step = many.cancel if act is ManyAct.CANCEL else many.replay

        async def do(visit: Visit) -> Response:
            wanted = _wanted(visit, asked_for(visit))
            await self._note(visit, act, wanted)
            self._acts.begin(wanted, act, step, _counted(visit))
            query = urlencode({"customer": wanted.owner} if visit.caller.admin else {})
            return RedirectResponse(f"{ROOT}/jobs/many/progress?{query}", HTTPStatus.SEE_OTHER)

        return do

    async def _note(self, visit: Visit, act: ManyAct, wanted: JobFilter) -> None:
        """Write an operator's act down before it begins."""
        if visit.caller.admin:
            told = {name: value for name, value in asked_for(visit).items() if name != "customer"}
            note = self._administration.note
            await note(visit.caller, AUDITED[act], wanted.owner, filter=urlencode(told))

    async def progress(self, visit: Visit) -> Response:
        """Show how far the latest act is."""
        progress = self._acts.progress(CustomerId(visit.whose or ""))
        return self._pages.page("many_jobs_progress.html", visit=visit, progress=progress)

    async def _count(self, act: ManyAct, wanted: JobFilter) -> int:
        many = self._jobs.many
        count = many.count_open if act is ManyAct.CANCEL else many.count_ended
        return await count(wanted, MANY + 1)


def _counted(visit: Visit) -> int:
    """Read how many were counted when it was asked: it only says how far the act is."""
    text = visit.form.get("counted", "")
    return min(int(text[:COUNT_DIGITS]), MANY + 1) if text.isascii() and text.isdigit() else 0


def _wanted(visit: Visit, asked: dict[str, str]) -> JobFilter:
    """Read the filters; they name one customer's jobs.

    Raises:
        InvalidFields: They don't.
    """
    if visit.whose is None:
        raise wrong("customer", "name one: many jobs are one customer's at a time")
    return filter_of(visit, asked)
