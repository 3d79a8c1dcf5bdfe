"""How a line of the log is written, for people and for machines."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from orchestrator.core.jobs import job_ends
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.runtime.log_format import LogFormat, about, formatter
from tests.support.rig import Rig, in_virtual_time


def record(words: str, *values: object, **ids: object) -> logging.LogRecord:
    made = logging.getLogger("orchestrator.core").makeRecord(
        "orchestrator.core", logging.WARNING, __file__, 1, words, values, None, extra=about(**ids)
    )
    made.created = 1_763_674_210.055
    return made


def as_json(made: logging.LogRecord) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(formatter(LogFormat.JSON).format(made))
    return document


def test_a_line_for_machines_is_an_object_with_the_ids_of_whom_it_is_about() -> None:
    document = as_json(record("%s is damaged", "job_1_1", job="job_1_1", customer="cust_a", region=None))
    assert document.pop("process") > 0
    assert document == {
        "at": "2025-11-20T21:30:10.055+00:00",
        "level": "warning",
        "logger": "orchestrator.core",
        "message": "job_1_1 is damaged",
        "job": "job_1_1",
        "customer": "cust_a",
    }


def test_a_line_for_people_names_whom_its_words_do_not() -> None:
    line = formatter(LogFormat.CONSOLE).format(
        record("%s is damaged", "job_1_1", job="job_1_1", region="iad")
    )
    assert line.endswith("WARNING orchestrator.core: job_1_1 is damaged [region=iad]")


def test_what_was_raised_is_one_field_of_the_object() -> None:
    made = record("it failed")
    try:
        int("why")
    except ValueError:
        made.exc_info = sys.exc_info()
    line = formatter(LogFormat.JSON).format(made)
    assert "\n" not in line
    assert "ValueError: invalid literal" in json.loads(line)["raised"]


class Kept(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def debugged(logger: logging.Logger) -> Iterator[list[logging.LogRecord]]:
    kept = Kept()
    logger.addHandler(kept)
    logger.setLevel(logging.DEBUG)
    yield kept.records
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(kept)


@in_virtual_time()
async def test_at_debug_each_attempt_and_each_end_of_a_job_is_a_line(rig: Rig) -> None:
    with debugged(job_ends.log) as records:
        stored = await rig.run()
    assert stored.state is JobState.SUCCESS
    attempt, end = map(as_json, records)
    assert attempt["message"] == "an attempt of step primary at api.example.com: 200"
    assert [attempt[name] for name in ("job", "attempt", "customer", "region")] == [
        *(stored.job.id, "1", "cust_acme", "iad")
    ]
    assert end["message"].startswith("the job ended success after")
