"""A small HTTP server that receives the service's webhooks and starts what follows a job."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Callable, NoReturn

from ezthrottle._calls.notices import ELSEWHERE
from ezthrottle._jobs.states import Ending
from ezthrottle._per_process import PerProcess, process
from ezthrottle._receiving.addresses import DEFAULT_WEBHOOK_PORT, WEBHOOK
from ezthrottle._receiving.deliveries import delivery_in
from ezthrottle._steps.continuation import starter_for
from ezthrottle._warnings import warn
from ezthrottle.event_store import EventStore
from ezthrottle.exceptions import EZThrottleError
from ezthrottle.webhook_utils import verify_webhook_signature

if TYPE_CHECKING:
    from typing_extensions import Self

    from ezthrottle._receiving.listener import Listener
    from ezthrottle._steps.client import Client
    from ezthrottle._steps.continuation import Starter
    from ezthrottle._steps.spec import ChainedStep

__all__ = ["FastAPIWebhookServer", "FlaskWebhookServer", "WebhookServer", "create_webhook_server"]

_log = logging.getLogger("ezthrottle")

LOOPBACK = "127.0.0.1"
# A result holds a response of up to some MiB, so that the newest only are kept; ids are small.
MOST_RESULTS = 1_000
MOST_IDS = 100_000

Callback = Callable[[str, "dict[str, Any]"], Any]


def create_webhook_server(
    callback: Callback | None = None,
    port: int | None = None,
    event_store: EventStore | None = None,
    backend: str = "auto",
    *,
    host: str = LOOPBACK,
    public_url: str | None = None,
    secret: str | None = None,
) -> WebhookServer:
    """Return a webhook server that is yet to be started; the arguments are those of `WebhookServer`.

    `backend` is "fastapi" (with uvicorn), "flask", "http" (the standard library's), or "auto": the first of
    these that is installed. Raises ValueError for another one.

    >>> server = create_webhook_server(port=5000)
    >>> server.get_url()
    'http://localhost:5000/webhook'
    """
    kinds = {"fastapi": FastAPIWebhookServer, "flask": FlaskWebhookServer, "http": WebhookServer}
    name = _installed_backend() if backend == "auto" else backend
    if name not in kinds:
        raise ValueError(f"backend is {backend!r}; known are 'auto', {', '.join(map(repr, kinds))}")
    return kinds[name](callback, port, event_store, host=host, public_url=public_url, secret=secret)


def _installed_backend() -> str:
    from ezthrottle._receiving.framework_listeners import installed  # noqa: PLC0415 - few programs receive webhooks

    if installed("fastapi", "uvicorn"):
        return "fastapi"
    return "flask" if installed("flask") else "http"


class WebhookServer:
    """Receives webhooks in threads of its own, keeps the newest results, and starts the steps that follow.

    `callback(job_id, data)` is called in a thread for every delivery, redeliveries included. `port` is 5000
    unless given; 0 takes a free one. It listens on `host`; where the service reaches it by another
    address, `public_url` names that. With `secret` it refuses deliveries that are not signed with it.

    A client that was stopped starts nothing: what must happen in any case belongs to a PERFORMANCE step,
    which the service runs.

    >>> with WebhookServer(port=0) as server:
    ...     answer = client.submit_job("https://api.example.com", webhooks=[{"url": server.get_url()}])
    ...     print(server.wait_for_result(answer["job_id"], timeout=30)["status"])
    success
    """

    def __init__(
        self,
        callback: Callback | None = None,
        port: int | None = None,
        event_store: EventStore | None = None,
        *,
        host: str = LOOPBACK,
        public_url: str | None = None,
        secret: str | None = None,
    ) -> None:
        self.callback = callback
        self.host = host
        self.port = DEFAULT_WEBHOOK_PORT if port is None else port
        self.event_store = EventStore() if event_store is None else event_store
        self.results: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._public_url = public_url
        self._secret = secret
        self._started: OrderedDict[str, None] = OrderedDict()
        self._changed = PerProcess(threading.Condition)
        self._any_port = self.port == 0
        self._listener: Listener | None = None
        self._started_in = process()

    def start(self) -> None:
        """Listen; deliveries are accepted when this returns. Nothing happens where it listens already.

        Raises EZThrottleError where the port is taken.
        """
        if self.listens_elsewhere():
            self.stop()
        if self._listener is not None:
            return
        try:
            self._listener = self._listen()
        except OSError as error:
            raise EZThrottleError(
                f"The webhook server cannot listen on {self.host}:{self.port} ({error}). Choose another port."
            ) from error
        self.port = self._listener.server_port
        self._started_in = process()
        self._listener.start()

    def stop(self) -> None:
        """Stop listening and free the port; steps under way go on."""
        elsewhere = self.listens_elsewhere()
        listener, self._listener = self._listener, None
        if elsewhere:
            self.port = 0 if self._any_port else self.port
        elif listener is not None:
            listener.stop()

    def listens_elsewhere(self) -> bool:
        """Whether a process that this one was forked from started it: there the deliveries arrive."""
        return self._listener is not None and self._started_in != process()

    def get_url(self) -> str:
        """Return the address to give to the service as a webhook."""
        if self._public_url is not None:
            return self._public_url
        host = "localhost" if self.host in {LOOPBACK, "0.0.0.0", ""} else self.host  # noqa: S104 - compared
        return f"http://{host}:{self.port}{WEBHOOK}"

    def register_workflow(
        self,
        job_id: str,
        on_success: ChainedStep | None = None,
        on_failure: ChainedStep | None = None,
        client: Client | None = None,
        *,
        step: ChainedStep | None = None,
        awaited: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Start one of these steps with `client` when the job's webhook arrives, or now if it has arrived.

        That happens once for a job, however often its webhook is delivered. `step` is the job's own, whose
        history is continued. `awaited` names, by place, the events that can only come if the service starts
        the child in that place; where it does not, they are forgotten.
        """
        go_on = partial(self._continue_once, job_id, step, starter_for(client), awaited or {})
        self.event_store.register_handler(
            job_id,
            on_success=partial(go_on, "on_success", on_success),
            on_failure=partial(go_on, "on_failure", on_failure),
        )
        with self._changed.get():
            arrived, over = self.results.get(job_id), job_id in self._started
        if over:
            # A duplicate of a job whose end was delivered: nothing more will come for it.
            self.event_store.remove_handler(job_id)
        elif arrived is not None:
            self.event_store.emit_event(job_id, arrived["status"], arrived)

    def wait_for_result(self, job_id: str, timeout: float) -> dict[str, Any] | None:
        """Return the job's webhook, waiting up to `timeout` seconds for it; None where it did not come."""
        if self.listens_elsewhere():
            warn(ELSEWHERE)
        changed = self._changed.get()
        with changed:
            changed.wait_for(lambda: job_id in self.results, timeout)
            return self.results.get(job_id)

    def receive(self, body: bytes, signature: str, workflow: str | None) -> HTTPStatus:
        """Take in one delivery, and return the status to answer it with."""
        if self._secret is not None and not verify_webhook_signature(body, signature, self._secret)[0]:
            return HTTPStatus.UNAUTHORIZED
        data = delivery_in(body)
        if data is None:
            return HTTPStatus.BAD_REQUEST
        self._keep(data)
        self.event_store.emit_event(workflow or data["job_id"], data["status"], data)
        if self.callback is not None:
            threading.Thread(target=self._call_back, args=(self.callback, data), daemon=True).start()
        return HTTPStatus.OK

    def __reduce__(self) -> NoReturn:
        raise TypeError("a webhook server, and a client that has one, cannot be copied or pickled")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _listen(self) -> Listener:
        from ezthrottle._receiving.listener import StandardListener  # noqa: PLC0415 - a third of this package's loading time

        return StandardListener(self.host, self.port, self.receive)

    def _keep(self, data: dict[str, Any]) -> None:
        with self._changed.get():
            self.results[data["job_id"]] = data
            if len(self.results) > MOST_RESULTS:
                self.results.popitem(last=False)
            self._changed.get().notify_all()

    def _continue_once(
        self,
        job_id: str,
        step: ChainedStep | None,
        start: Starter,
        awaited: Mapping[str, Sequence[str]],
        place: str,
        child: ChainedStep | None,
        data: dict[str, Any],
    ) -> None:
        with self._changed.get():
            if job_id in self._started:
                return
            self._started[job_id] = None
            if len(self._started) > MOST_IDS:
                self._started.popitem(last=False)
        if step is not None:
            step.spec.record_delivery(data)
        cancelled = _was_cancelled(data)
        for other, tokens in awaited.items():
            for token in tokens if cancelled or other != place else ():
                self.event_store.remove_handler(token)
        if child is not None and not cancelled:
            start(child)

    @staticmethod
    def _call_back(callback: Callback, data: dict[str, Any]) -> None:
        try:
            callback(data["job_id"], data)
        except Exception:  # noqa: BLE001 - the user's code, in a thread of ours
            _log.exception("The webhook callback failed for job %s", data["job_id"])


class FastAPIWebhookServer(WebhookServer):
    """A `WebhookServer` whose `app` is a FastAPI application, to which a program may add paths of its own.

    >>> server = FastAPIWebhookServer(port=0)
    >>> _ = server.app.get("/health")(lambda: "up")
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        from ezthrottle._receiving.framework_listeners import fastapi_app  # noqa: PLC0415 - not a dependency

        super().__init__(*args, **kwargs)
        self.app = fastapi_app(self.receive)

    def _listen(self) -> Listener:
        from ezthrottle._receiving.framework_listeners import FastAPIListener  # noqa: PLC0415 - not a dependency

        return FastAPIListener(self.host, self.port, self.app)


class FlaskWebhookServer(WebhookServer):
    """A `WebhookServer` whose `app` is a Flask application, to which a program may add paths of its own.

    >>> server = FlaskWebhookServer(port=0)
    >>> _ = server.app.get("/health")(lambda: "up")
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        from ezthrottle._receiving.framework_listeners import flask_app  # noqa: PLC0415 - not a dependency

        super().__init__(*args, **kwargs)
        self.app = flask_app(self.receive)

    def _listen(self) -> Listener:
        from ezthrottle._receiving.framework_listeners import FlaskListener  # noqa: PLC0415 - not a dependency

        return FlaskListener(self.host, self.port, self.app)


def _was_cancelled(data: dict[str, Any]) -> bool:
    # A cancelled job is delivered as failed, but whoever cancelled it wants nothing to follow.
    error = data.get("error")
    return isinstance(error, dict) and error.get("code") == Ending.CANCELLED.value
