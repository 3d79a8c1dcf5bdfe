"""The HTTP side of the webhook server, over FastAPI or Flask where one of them is installed."""

from __future__ import annotations

import importlib.util
import socket
import threading
from typing import TYPE_CHECKING, Any

from ezthrottle._receiving.addresses import WEBHOOK, WORKFLOW
from ezthrottle._receiving.listener import refusal_of, said
from ezthrottle.webhook_utils import SIGNATURE_HEADER

if TYPE_CHECKING:
    from fastapi import FastAPI, Request, Response
    from flask import Flask

    from ezthrottle._receiving.listener import Receive


def installed(*modules: str) -> bool:
    """Whether these can be imported; none of them is."""
    return all(importlib.util.find_spec(module) is not None for module in modules)


def fastapi_app(receive: Receive) -> FastAPI:
    """Return an application that takes deliveries."""
    from fastapi import FastAPI  # noqa: PLC0415 - not a dependency
    from fastapi.concurrency import run_in_threadpool  # noqa: PLC0415 - the same
    from fastapi.responses import JSONResponse  # noqa: PLC0415 - the same

    async def take(request: Request) -> Response:
        status = refusal_of(request.headers.get("Content-Length", ""))
        if status is None:
            signature = request.headers.get(SIGNATURE_HEADER, "")
            body, workflow = await request.body(), request.query_params.get(WORKFLOW)
            status = await run_in_threadpool(receive, body, signature, workflow)
        return JSONResponse(said(status), status)

    app = FastAPI()
    app.router.add_route(WEBHOOK, take, methods=["POST"])
    return app


def flask_app(receive: Receive) -> Flask:
    """Return an application that takes deliveries."""
    from flask import Flask, request  # noqa: PLC0415 - not a dependency

    app = Flask("ezthrottle")

    def take() -> tuple[dict[str, str], int]:
        status = refusal_of(request.headers.get("Content-Length", ""))
        if status is None:
            signature = request.headers.get(SIGNATURE_HEADER, "")
            status = receive(request.get_data(), signature, request.args.get(WORKFLOW))
        return said(status), int(status)

    app.add_url_rule(WEBHOOK, view_func=take, methods=["POST"])
    return app


class FastAPIListener:
    """Serves an ASGI application with uvicorn, in a thread.

    >>> FastAPIListener("127.0.0.1", 0, fastapi_app(receive)).start()
    """

    def __init__(self, host: str, port: int, app: Any) -> None:
        import uvicorn  # noqa: PLC0415 - not a dependency

        self._socket = socket.create_server((host, port))
        self.server_port: int = self._socket.getsockname()[1]
        self._server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)

    def start(self) -> None:
        """Answer requests."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and free the port."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


class FlaskListener:
    """Serves a WSGI application with werkzeug, in threads.

    >>> FlaskListener("127.0.0.1", 0, flask_app(receive)).start()
    """

    def __init__(self, host: str, port: int, app: Any) -> None:
        from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: PLC0415 - not a dependency

        class Quiet(WSGIRequestHandler):
            timeout = 30

            def log_request(self, *_: object) -> None:
                """Keep the program's output its own."""

        # Bound here, since werkzeug ends the process where the port is taken.
        with socket.create_server((host, port)) as bound:
            self._server = make_server(
                host, port, app, threaded=True, request_handler=Quiet, fd=bound.fileno()
            )
        self.server_port: int = self._server.port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def start(self) -> None:
        """Answer requests."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
