"""A collector of spans on loopback: it takes what is sent by OTLP over HTTP, and gives it back by name."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.loopback import Reply, Site, running_site

PATH = "/v1/traces"
WITHIN_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Span:
    """A span that came; ids in hexadecimal, times in Unix ns. ``error`` is the description of its status."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    began_ns: int
    ended_ns: int
    attributes: dict[str, Any]
    error: str
    service: str


class Collector:
    """What a site has been sent."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.endpoint = site.url("").rstrip("/")

    @property
    def requests(self) -> int:
        """Count the requests that came."""
        return len(self._site.seen())

    def spans(self) -> list[Span]:
        """Read every span that has come so far, the earliest first."""
        found = [span for seen in self._site.seen(PATH) for span in _spans_in(seen.body)]
        return sorted(found, key=lambda span: (span.began_ns, -span.ended_ns))

    def named(self, name: str) -> list[Span]:
        """Read those of a name."""
        return [span for span in self.spans() if span.name == name]

    def wait_for(self, *names: str) -> list[Span]:
        """Wait until there is one of each name."""
        deadline = time.monotonic() + WITHIN_S
        while not set(names) <= {span.name for span in self.spans()}:
            assert time.monotonic() < deadline, [span.name for span in self.spans()]
            time.sleep(0.02)
        return self.spans()


@contextlib.contextmanager
def running_collector() -> Iterator[Collector]:
    """Run one."""
    with running_site(Reply(headers={"Content-Type": "application/x-protobuf"}, body=b"")) as site:
        yield Collector(site)


def _spans_in(body: bytes) -> Iterator[Span]:
    for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = _values(of_resource.resource.attributes)["service.name"]
        for of_scope in of_resource.scope_spans:
            yield from (_span(span, service) for span in of_scope.spans)


def _span(span: Any, service: str) -> Span:
    return Span(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        began_ns=span.start_time_unix_nano,
        ended_ns=span.end_time_unix_nano,
        attributes=_values(span.attributes),
        error=span.status.message,
        service=service,
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
