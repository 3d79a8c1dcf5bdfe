from orchestrator.domain.health.outlier_detection import (
    PROBE_EVERY_S,
    TARGETS_TO_DOUBT,
    Doubt,
    blame,
    note_sent,
    to_avoid,
)
from orchestrator.domain.ids import TargetDomain


def blamed(targets: int) -> Doubt:
    doubt = Doubt()
    for number in range(targets):
        doubt = blame(doubt, TargetDomain(f"{number}.example.com:443"))
    return doubt


def test_enough_targets_that_only_others_reach_make_a_region_doubted() -> None:
    assert not blamed(TARGETS_TO_DOUBT - 1).doubted
    assert blamed(TARGETS_TO_DOUBT).doubted


def test_one_target_counts_once() -> None:
    doubt = Doubt()
    for _ in range(10):
        doubt = blame(doubt, TargetDomain("same.example.com:443"))
    assert not doubt.doubted


def test_a_doubted_region_is_tried_at_once_and_then_now_and_then() -> None:
    doubt = blamed(TARGETS_TO_DOUBT)
    assert not to_avoid(doubt, 100.0)
    doubt = note_sent(doubt, 100.0)
    assert to_avoid(doubt, 100.0 + PROBE_EVERY_S - 0.001)
    assert not to_avoid(doubt, 100.0 + PROBE_EVERY_S)


def test_a_region_that_nobody_doubts_is_not_avoided_for_being_used() -> None:
    assert not to_avoid(note_sent(blamed(TARGETS_TO_DOUBT - 1), 100.0), 100.0)
