"""Where the HTTP API, and the metrics if they are bound apart, are listened for."""

import contextlib
from collections.abc import Callable, Generator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from orchestrator.adapters.http.app import make_app
from orchestrator.adapters.http.backend import Backend
from orchestrator.adapters.http.fast_lane import FastLane
from orchestrator.adapters.http.head_room import HeadRoom
from orchestrator.adapters.http.lingering import Refused
from orchestrator.adapters.http.protocol import BoundedProtocol, connections_most
from orchestrator.adapters.http.service_routes import ServiceRoutes
from orchestrator.settings import Address, Settings

KEEP_ALIVE_S = 30


class _Server(uvicorn.Server):
    """Stops when it is told by ``should_exit`` alone: signals are the parent's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals alone."""
        yield


def make_servers(settings: Settings, backend: Backend) -> list[tuple[uvicorn.Server, Address]]:
    """Make the API's server, and that of the metrics where they are bound apart; none listens yet."""
    apart = settings.metrics_address
    api = FastLane(make_app(backend, with_metrics=apart is None), backend)
    servers = [(_server(api), Address(settings.host, settings.port))]
    if apart is not None:
        servers.append((_server(_metrics_app(backend)), apart))
    return servers


def _metrics_app(backend: Backend) -> Starlette:
    return Starlette(routes=[Route("/metrics", ServiceRoutes(backend).metrics)])


def _protocol() -> type[BoundedProtocol]:
    # uvicorn makes the protocols itself: what they are to know stands in their class.
    known = {"connections_most": connections_most(), "refused": Refused(), "room": HeadRoom()}
    return type("Protocol", (BoundedProtocol,), known)


def _server(app: Callable[..., Any]) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        access_log=False,
        proxy_headers=False,
        lifespan="off",
        log_config=None,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=1,
        http=_protocol(),
        ws="none",
    )
    return _Server(config)
