"""Times, spans and counts as the console's pages write them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from math import floor

from markupsafe import Markup

UNKNOWN = "—"
MANY = 10_000
"""What is more is not counted to its end."""
SAID: Mapping[str, str] = {
    "cancelled": "The job is cancelled.",
    "replayed": "This is the new job: the same request, under a key of its own.",
    "redelivered": "The webhooks are sent again.",
    "reset": "What was learned of it is forgotten.",
    "paused": "It is paused: nothing starts there until somebody resumes it.",
    "resumed": "It goes on.",
    "paced": "The pace is set.",
    "drained": "Nothing new is placed there; what runs there ends.",
    "undrained": "It takes work again.",
    "planned": "The plan is changed: it weighs in the queues within ten seconds.",
    "revoked": "The key is revoked.",
}
"""What a page says after an act, by the word that leads there: nothing that a link may put in its place."""
_UNITS = ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


def counted(count: int) -> str:
    """Write a count that was counted no further than one past MANY."""
    return f"{MANY:,}+" if count > MANY else f"{count:,}"


def span(ms: float | None) -> str:
    """Write how long something takes, from ms, in the two largest units."""
    if ms is None:
        return UNKNOWN
    if ms < 1000:  # noqa: PLR2004  # a second
        return f"{ms:.0f} ms"
    seconds = ms / 1000
    for size, unit, smaller, small_unit in _UNITS:
        if seconds >= size:
            whole, rest = divmod(int(seconds), size)
            less = rest // smaller
            return f"{whole} {unit} {less} {small_unit}" if less else f"{whole} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004  # two digits


def moment(unix_ms: int | None) -> Markup:
    """Write a moment as UTC; the page's script shows it in local time, with this beside it."""
    if unix_ms is None:
        return Markup(UNKNOWN)  # noqa: S704  # a word of our own
    at = datetime.fromtimestamp(unix_ms / 1000, tz=UTC)
    machine, shown = at.isoformat(timespec="milliseconds"), at.strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(machine, shown, shown)


def rate(per_s: float | None) -> str:
    """Write a rate in requests per second."""
    if per_s is None:
        return UNKNOWN
    return f"{per_s:,.0f}" if per_s >= 100 else f"{per_s:.3g}"  # noqa: PLR2004  # three digits are enough


def share(of_one: float) -> str:
    """Write a share of 1 in percent; one that is nearly all does not read as all."""
    return f"{floor(of_one * 1000) / 10:g} %"


def size(count: int) -> str:
    """Write a size in bytes."""
    for factor, unit in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count} B"
