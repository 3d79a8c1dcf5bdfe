"""Celery's tasks: ``celery --app bench.storm.celery_tasks worker``.

Retries as Celery's documentation shows: exponential backoff with jitter, up to a minute, but never giving
up; its default is to give up after three. ``rate_limit`` is a worker's own, so each has its part of what the
target is set to let in. The broker is a folder, which needs no server; kombu lists it for each message.
"""

import os
from pathlib import Path

import httpx
from celery import Celery
from celery.signals import worker_ready

from bench.storm.orders import READY, say

FOLDER = "STORM_BROKER_FOLDER"
RATE = "STORM_WORKER_RATE"

_folder = Path(os.environ.get(FOLDER, "."))
_http = httpx.Client(timeout=30, trust_env=False)

app = Celery("storm", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": str(_folder / "messages"),
        "data_folder_out": str(_folder / "messages"),
        "control_folder": str(_folder / "control"),
    },
    task_ignore_result=True,
    worker_redirect_stdouts=False,
)


@app.task(  # type: ignore[untyped-decorator]  # Celery ships no types
    rate_limit=os.environ.get(RATE),
    autoretry_for=(httpx.HTTPError,),
    retry_backoff=True,
    retry_backoff_max=60,
    retry_jitter=True,
    max_retries=None,
)
def call(url: str) -> None:
    """Ask for a URL; what is no success is tried again."""
    _http.get(url).raise_for_status()


@worker_ready.connect  # type: ignore[untyped-decorator]  # the same
def say_ready(**_: object) -> None:
    """Tell the harness that this worker takes tasks."""
    say(READY)
