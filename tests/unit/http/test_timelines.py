"""A job's timeline as JSON."""

from orchestrator.adapters.http.documents.timeline import timeline_document
from orchestrator.domain.execution.course import Course
from orchestrator.domain.execution.run import note_close, note_start
from tests.unit.domain.builders import IAD, LAX, NOW_MS, UnderWay, a_spec, answered


def test_the_timeline_shows_every_leg_and_attempt() -> None:
    job = UnderWay(a_spec(regions=(IAD, LAX)))
    lost, won = job.send(0), job.send(1)
    job.run = note_start(job.run, won, NOW_MS + 2)
    job.end(won, answered(200), now_ms=NOW_MS + 9)
    job.run = note_close(job.run, lost, NOW_MS + 11)
    timeline = timeline_document(Course((job.run,)))
    assert timeline["legs"] == [
        {"step": "primary", "leg": 0, "region": "iad", "state": "cancelled"},
        {"step": "primary", "leg": 1, "region": "lax", "state": "won"},
    ]
    assert timeline["attempts"][0] == {
        "attempt": 1,
        "step": "primary",
        "leg": 0,
        "region": "iad",
        "node": None,
        "address": None,
        "granted_at": NOW_MS,
        "started_at": None,
        "ended_at": NOW_MS + 9,
        "closed_at": NOW_MS + 11,
        "status_code": None,
        "fault": "cancelled",
        "verdict": "end",
    }
    assert timeline["attempts"][1]["started_at"] == NOW_MS + 2
    assert (timeline["attempts_made"], timeline["retries"], timeline["reroutes"]) == (2, 0, 0)


def test_a_leg_under_way_is_shown_in_one_word() -> None:
    job = UnderWay(a_spec())
    job.send()
    assert timeline_document(Course((job.run,)))["legs"][0]["state"] == "under_way"
