"""The pages of the reference, each with what writes it."""

from collections.abc import Callable

from bench.site.reference.api import api
from bench.site.reference.client import client
from bench.site.reference.commands import commands
from bench.site.reference.errors import errors
from bench.site.reference.metrics import metrics
from bench.site.reference.settings import settings

PAGES: dict[str, Callable[[], str]] = {
    "api.md": api,
    "client.md": client,
    "commands.md": commands,
    "errors.md": errors,
    "metrics.md": metrics,
    "settings.md": settings,
}
