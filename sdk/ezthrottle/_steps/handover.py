"""Dividing a chain of steps between the service and the client's webhook server.

FRUGAL steps that follow a job are the client's: they are left out of the submission, and the webhook server
starts them when the job's end is delivered. Everything else is the service's, which goes on with it even if
the client dies.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from ezthrottle._receiving.addresses import WORKFLOW
from ezthrottle._steps.spec import StepType

if TYPE_CHECKING:
    from ezthrottle._steps.client import Client, EndsOfJobs
    from ezthrottle._steps.spec import ChainedStep


def keeps_steps(step: ChainedStep) -> bool:
    """Whether the client has a part in what follows."""
    return any(
        child.spec.step_type is StepType.FRUGAL or keeps_steps(child)
        for child in step.spec.children().values()
    )


class Handover:
    """One submission under way; `payload` is the service's part of it.

    >>> handover = Handover(step, server, client)
    >>> handover.complete(client.submit_job(**handover.payload)["job_id"])
    """

    def __init__(self, step: ChainedStep, server: EndsOfJobs, client: Client) -> None:
        self._step = step
        self._server = server
        self._client = client
        self._tokens: list[str] = []
        self.payload, self._ours, self._awaited = self._divided(step)
        _add_webhook(self.payload, server.get_url())

    def complete(self, job_id: str) -> None:
        """Have the client's part started when the job has ended."""
        self._server.register_workflow(
            job_id, client=self._client, step=self._step, awaited=self._awaited, **self._ours
        )

    def cancel(self) -> None:
        """Forget the client's part, since the service did not take the job."""
        for token in self._tokens:
            self._server.event_store.remove_handler(token)

    def _divided(
        self, step: ChainedStep
    ) -> tuple[dict[str, Any], dict[str, ChainedStep], dict[str, list[str]]]:
        """Return the service's part, the children that are ours, and the tokens awaited below each place."""
        ours: dict[str, ChainedStep] = {}
        awaited: dict[str, list[str]] = {}
        payload = step.spec.payload()
        for place, child in step.spec.children().items():
            if child.spec.step_type is StepType.FRUGAL:
                ours[place] = child
                del payload[place]
            else:
                before = len(self._tokens)
                payload[place] = self._service_child(child)
                awaited[place] = self._tokens[before:]
        return payload, ours, awaited

    def _service_child(self, step: ChainedStep) -> dict[str, Any]:
        payload, ours, awaited = self._divided(step)
        if ours:
            # The service makes up this job's id later, so its webhook brings a token of ours instead.
            token = uuid.uuid4().hex
            self._tokens.append(token)
            self._server.register_workflow(token, client=self._client, step=step, awaited=awaited, **ours)
            _add_webhook(payload, _with_parameter(self._server.get_url(), WORKFLOW, token))
        return payload


def _with_parameter(url: str, name: str, value: str) -> str:
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, f"{name}={value}")))
    return urlunsplit(parts._replace(query=query))


def _add_webhook(payload: dict[str, Any], url: str) -> None:
    payload["webhooks"] = [*payload.get("webhooks", ()), {"url": url, "has_quorum_vote": True}]
