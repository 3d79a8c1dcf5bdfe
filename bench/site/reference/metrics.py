"""The page of the metrics, from what the service would show with nothing to do."""

from prometheus_client.core import Metric

from bench.site.markdown import code, page, table
from bench.site.reference.quiet_service import counted
from orchestrator.adapters.telemetry import NumbersCollector

_INTRO = """\
At `/metrics`, in Prometheus' text format, or as OpenMetrics with traces as exemplars to who accepts that. A
counter's name ends with `_total`; a histogram has `_bucket`, `_sum` and `_count`. Labels are bounded: of the
targets only those with the most to do have their name. [Operations](../operations.md) has the alerts and the
board that are made of them."""
_SHOWN_AS = {"counter": "{}_total", "info": "{}_info"}


def metrics() -> str:
    """Write the page."""
    rows = [
        [code(shown_name(metric)), metric.type, ", ".join(map(code, _labels(metric))), metric.documentation]
        for metric in NumbersCollector(counted()).collect()
    ]
    return page("# Metrics", _INTRO, table(["Metric", "Kind", "Labels", ""], rows))


def shown_name(metric: Metric) -> str:
    """Name a metric as it is asked for in PromQL; of a histogram, what its three series have in common."""
    return _SHOWN_AS.get(metric.type, "{}").format(metric.name)


def _labels(metric: Metric) -> list[str]:
    # The families keep them to themselves, and one without samples shows them nowhere else.
    return [*getattr(metric, "_labelnames", ())]
