"""One job: what it asks for, its race, its deliveries, its children; and what is done to it."""

from http import HTTPStatus
from typing import Any

from starlette.responses import RedirectResponse, Response

from orchestrator.adapters.http.access import JOBS_PATH
from orchestrator.adapters.http.backend import Backend
from orchestrator.adapters.http.console.curl import curl_of
from orchestrator.adapters.http.console.door import Door
from orchestrator.adapters.http.console.job_stream import Drawn, JobStream
from orchestrator.adapters.http.console.pages import Pages
from orchestrator.adapters.http.console.paths import ROOT
from orchestrator.adapters.http.console.race import outcome_of, race_of
from orchestrator.adapters.http.console.stories import story_of
from orchestrator.adapters.http.console.visit import Visit
from orchestrator.adapters.http.documents.jobs import job_document, remains_document
from orchestrator.adapters.http.event_stream import StreamSlots
from orchestrator.adapters.http.readers import view_without_bodies
from orchestrator.core.views import JobRemains, JobView, KnownAlready
from orchestrator.domain.access.audit import Act
from orchestrator.domain.errors import EZThrottleError
from orchestrator.domain.ids import CustomerId, JobId
from orchestrator.domain.jobs.lifecycle import JobState

DESCENDANTS_MOST = 30
ACTS = {
    "cancel": f"DELETE {JOBS_PATH}/{{job_id}}",
    "replay": f"POST {JOBS_PATH}/{{job_id}}/replay",
    "redeliver": f"POST {JOBS_PATH}/{{job_id}}/redeliver",
}
"""What is done to a job here, and the call of the API that does the same."""


class JobPages:
    """Shows a job to its customer or to an operator, and acts on it for them."""

    def __init__(self, backend: Backend, pages: Pages, door: Door) -> None:
        self._backend = backend
        self._jobs = backend.gateway.jobs
        self._administration = backend.gateway.administration
        self._pages = pages
        self._door = door
        self._streams = StreamSlots(backend.bounds.streams)

    async def show(self, visit: Visit) -> Response:
        """Show a job; its bodies where they are asked for, to those who may see them."""
        owner = await self.owner(visit)
        with_bodies = "body" in visit.query and visit.caller.sees_bodies
        view = await self._jobs.show(owner, job_id_of(visit))
        if not visit.caller.sees_bodies:
            view = await view_without_bodies(self._backend.results, view)
        if isinstance(view, JobRemains):
            return self._pages.page("job_remains.html", visit=visit, job=remains_document(view))
        return self._pages.page(
            "job.html", visit=visit, **await self._shown(owner, view, with_bodies=with_bodies)
        )

    async def stream(self, visit: Visit) -> Response:
        """Send the part of a job's page that changes, as it changes."""
        owner = await self.owner(visit)
        follower = await self._jobs.follow(owner, job_id_of(visit))
        over = self._streams.take(visit.caller.customer)

        async def draw() -> Drawn:
            return await self._drawn(visit, owner)

        async def is_open() -> bool:
            return await self._door.still_open(visit.request)

        return JobStream(follower, draw, is_open, self._backend.gateway.clock, over)

    async def _drawn(self, visit: Visit, owner: CustomerId) -> Drawn:
        view = await self._jobs.show(owner, job_id_of(visit))
        if not visit.caller.sees_bodies:
            view = await view_without_bodies(self._backend.results, view)
        if isinstance(view, JobRemains):
            return Drawn("", settled=True)
        shown = await self._shown(owner, view, with_bodies=False)
        return Drawn(self._pages.draw("job_live.html", visit=visit, **shown), settled=shown["settled"])

    async def _shown(self, owner: CustomerId, view: JobView, *, with_bodies: bool) -> dict[str, Any]:
        """Give all that a job's page tells."""
        job = job_document(view, with_bodies=with_bodies)
        race = race_of(job, view.now_ms)
        return {
            "job": job,
            "owner": owner,
            "race": race,
            "story": story_of(job, race),
            "outcome_of": outcome_of,
            "with_bodies": with_bodies,
            "curl": curl_of(job["request"]),
            "result_bytes": view.stored.result_bytes,
            "children": await self._children(owner, job),
            "acts": _acts_on(view.stored.state, has_webhooks=bool(job["webhooks"])),
            "calls": ACTS,
            "settled": view.stored.state.ended and job["delivery"] != "pending",
        }

    async def _children(self, owner: CustomerId, job: dict[str, Any]) -> list[dict[str, Any]]:
        """List a job's descendants with their depths, parents first."""
        found: list[dict[str, Any]] = []
        todo = [(1, child) for child in job["timeline"].get("children", ())]
        while todo and len(found) < DESCENDANTS_MOST:
            depth, child = todo.pop(0)
            grandchildren, state = await self._spawned(owner, child["job_id"])
            found.append({"depth": depth, "state": state, **child})
            todo = [*((depth + 1, each) for each in grandchildren), *todo]
        return found

    async def _spawned(self, owner: CustomerId, job_id: str) -> tuple[list[dict[str, Any]], str | None]:
        try:
            view = await self._jobs.show(owner, job_id)
        except EZThrottleError:
            return [], None
        if isinstance(view, JobRemains):
            return [], view.summary.state
        document = job_document(view)
        return document["timeline"].get("children", []), document["state"]

    async def cancel(self, visit: Visit) -> Response:
        """Cancel a job."""
        owner = await self._noted(visit, Act.JOB_CANCELLED)
        return _back_to(await self._jobs.cancel(owner, job_id_of(visit)), "cancelled")

    async def replay(self, visit: Visit) -> Response:
        """Make a new job of a finished one, and show that."""
        owner = await self._noted(visit, Act.JOB_REPLAYED)
        taken = await self._jobs.replay(owner, job_id_of(visit))
        job_id = taken.duplicate.job_id if isinstance(taken, KnownAlready) else taken.job_id
        return _back_to(job_id, "replayed")

    async def redeliver(self, visit: Visit) -> Response:
        """Send all webhooks of a finished job again."""
        owner = await self._noted(visit, Act.JOB_REDELIVERED)
        await self._jobs.redeliver(owner, job_id_of(visit))
        return _back_to(JobId(job_id_of(visit)), "redelivered")

    async def owner(self, visit: Visit) -> CustomerId:
        """Say whose jobs are looked for: the visitor's own, but for an operator, who sees all.

        Raises:
            NotFound: There is no such job.
        """
        if not visit.caller.admin:
            return visit.caller.customer
        return await self._administration.owner_of(job_id_of(visit))

    async def _noted(self, visit: Visit, act: Act) -> CustomerId:
        """Write an operator's act down before it is done; say whose job it is."""
        owner = await self.owner(visit)
        if visit.caller.admin:
            await self._administration.note(visit.caller, act, job_id_of(visit), customer=owner)
        return owner


def job_id_of(visit: Visit) -> str:
    """Read which job a page is about."""
    job_id: str = visit.request.path_params["job_id"]
    return job_id


def _acts_on(state: JobState, *, has_webhooks: bool) -> list[str]:
    """Name what can be done to a job in a state."""
    if not state.ended:
        return ["cancel"]
    return ["replay", *(["redeliver"] if has_webhooks else [])]


def _back_to(job_id: JobId, said: str) -> Response:
    return RedirectResponse(f"{ROOT}/jobs/{job_id}?said={said}", HTTPStatus.SEE_OTHER)
