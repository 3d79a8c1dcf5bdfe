"""The picture of a race, drawn of a job's document."""

from typing import Any

from orchestrator.adapters.http.console.curl import curl_of
from orchestrator.adapters.http.console.race import WIDTH, Lane, Outcome, Phase, race_of
from orchestrator.adapters.http.console.stories import story_of

T = 1_000_000


def attempt(leg: int, granted: int, started: int | None, ended: int | None, **more: Any) -> dict[str, Any]:
    times = {"granted_at": granted, "started_at": started, "ended_at": ended}
    moments = {name: None if at is None else T + at for name, at in times.items()}
    told = {"step": "primary", "leg": leg, "attempt": leg + 1, "region": "iad", "closed_at": None}
    return told | moments | {"status_code": None, "fault": None, "verdict": None} | more


def leg(number: int, region: str, state: str) -> dict[str, Any]:
    return {"step": "primary", "leg": number, "region": region, "state": state}


def job(legs: list[Any], attempts: list[Any], **more: Any) -> dict[str, Any]:
    timeline = {"legs": legs, "attempts": attempts}
    told = {"accepted_at": T, "ended_at": T + 200, "state": "success", "timeline": timeline}
    return told | {"domain": "a.example", "position": None, "result": None} | more


RACE = job(
    [leg(0, "iad", "won"), leg(1, "lax", "cancelled"), leg(2, "ord", "skipped")],
    [
        attempt(0, 10, 20, 200, status_code=200, verdict="success"),
        attempt(1, 10, 30, 200, fault="cancelled", verdict="end", closed_at=T + 205),
    ],
)


def phases(lane: Lane) -> list[Phase]:
    return [stretch.phase for stretch in lane.stretches]


def test_each_leg_has_a_bar_with_its_wait_connection_answer_and_closing() -> None:
    race = race_of(RACE, T + 500)
    assert race is not None
    won, cancelled, skipped = race.lanes
    assert phases(won) == [Phase.WAIT, Phase.CONNECT, Phase.ANSWER]
    assert phases(cancelled) == [Phase.WAIT, Phase.CONNECT, Phase.ANSWER, Phase.CLOSE]
    assert phases(skipped) == [Phase.WAIT]
    assert [lane.outcome for lane in race.lanes] == [Outcome.WON, Outcome.CANCELLED, Outcome.SKIPPED]
    assert won.says == "answered 200 after 190 ms"
    assert cancelled.says == "cancelled, closed 5 ms later"


def test_stretches_follow_each_other_and_stay_within_the_picture() -> None:
    race = race_of(RACE, T + 500)
    assert race is not None
    for lane in race.lanes:
        for before, after in zip(lane.stretches, lane.stretches[1:], strict=False):
            assert abs(before.x + before.width - after.x) < 2
        assert lane.stretches[-1].x + lane.stretches[-1].width <= WIDTH + 1


def test_a_long_wait_before_the_first_start_is_told_and_not_drawn_whole() -> None:
    hour = 3_600_000
    race = race_of(
        job(
            [leg(0, "iad", "won")],
            [attempt(0, hour, hour + 5, hour + 100, verdict="success")],
            ended_at=T + hour + 100,
        ),
        T + 2 * hour,
    )
    assert race is not None
    assert race.waited_ms > hour * 0.99
    assert race.length_ms < 1_000


def test_an_attempt_that_is_under_way_grows_until_now() -> None:
    running = job([leg(0, "iad", "under_way")], [attempt(0, 10, 20, None)], ended_at=None, state="running")
    early, late = race_of(running, T + 100), race_of(running, T + 900)
    assert early is not None
    assert late is not None
    assert (early.length_ms, late.length_ms) == (100, 900)
    assert late.lanes[0].outcome is Outcome.RUNNING
    assert late.lanes[0].says == "no answer yet"


def test_retries_of_a_leg_stand_in_its_one_bar() -> None:
    race = race_of(
        job(
            [leg(0, "iad", "won")],
            [
                attempt(0, 0, 5, 20, status_code=503, verdict="retry"),
                attempt(0, 100, 105, 200, status_code=200, verdict="success", attempt=2),
            ],
        ),
        T + 500,
    )
    assert race is not None
    assert [stretch.outcome for stretch in race.lanes[0].stretches if stretch.phase is Phase.ANSWER] == [
        Outcome.RETRIED,
        Outcome.WON,
    ]
    assert race.lanes[0].says == "answered 200 after 100 ms, 2 attempts"


def test_a_job_that_has_not_begun_has_no_picture() -> None:
    assert race_of(job([], [], state="queued"), T) is None


def test_the_story_says_who_won_and_what_became_of_the_others() -> None:
    story = story_of(RACE, race_of(RACE, T + 500))
    assert story == (
        "iad won: the first success, 200 ms after submission; lax was cancelled; ord was never sent."
    )


def test_the_story_of_a_failure_gives_its_reason() -> None:
    failed = RACE | {"state": "failed", "result": {"error": {"code": "status", "message": "it said 404"}}}
    assert story_of(failed, None) == "It failed: it said 404 (status)."


def test_a_request_as_a_command_is_quoted_for_a_shell() -> None:
    request = {"method": "POST", "url": "http://a.example/?a=1&b='", "headers": {"x": "a b"}, "body": "$HOME"}
    assert curl_of(request) == (
        "curl -i -X POST 'http://a.example/?a=1&b='\"'\"'' -H 'x: a b' --data-binary '$HOME'"
    )
