"""Leases of shards, by examples."""

from math import inf

from orchestrator.domain.cluster.lease import LEASE_S, WATCH_S, Beat, HeldLease, WatchedBeat

FIRST, SECOND = Beat(3, 41), Beat(3, 42)


def test_a_lease_counts_from_the_sending_of_the_last_beat_that_was_taken() -> None:
    lease = HeldLease()
    lease.renewed(10.0)
    assert [lease.left_s(now) for now in (10.0, 13.0, 14.0, 99.0)] == [LEASE_S, 1.0, 0.0, 0.0]


def test_a_shard_that_has_not_beaten_may_not_act() -> None:
    assert HeldLease().left_s(0.0) == 0.0


def test_an_answer_that_comes_late_does_not_shorten_a_lease() -> None:
    lease = HeldLease()
    lease.renewed(11.0)
    lease.renewed(10.0)
    assert lease.left_s(11.0) == LEASE_S


def test_a_lock_is_a_lease_for_ever() -> None:
    assert HeldLease(forever=True).left_s(1e9) == inf


def test_a_beat_that_stands_still_for_long_enough_is_nobody_s() -> None:
    watched = WatchedBeat()
    assert [watched.look(FIRST, at, at) for at in (0.0, 1.0, WATCH_S - 0.01, WATCH_S)] == [
        False,
        False,
        False,
        True,
    ]


def test_a_beat_that_changes_is_watched_from_then_on() -> None:
    watched = WatchedBeat()
    assert not watched.look(FIRST, 0.0, 0.0)
    assert not watched.look(SECOND, WATCH_S - 1, WATCH_S - 1)
    assert not watched.look(SECOND, WATCH_S, WATCH_S)
    assert watched.look(SECOND, 2 * WATCH_S - 1, 2 * WATCH_S - 1)


def test_who_has_taken_a_shard_over_is_watched_anew() -> None:
    watched = WatchedBeat()
    watched.look(FIRST, 0.0, 0.0)
    assert not watched.look(Beat(4, FIRST.number), WATCH_S, WATCH_S)


def test_what_an_answer_took_is_no_time_that_was_watched() -> None:
    watched = WatchedBeat()
    assert not watched.look(FIRST, 0.0, 4.0)
    assert not watched.look(FIRST, WATCH_S, 4.0 + WATCH_S)
    assert watched.look(FIRST, 4.0 + WATCH_S, 4.0 + WATCH_S)


def test_a_watcher_that_was_stopped_between_two_looks_has_seen_the_beat_stand_all_the_same() -> None:
    watched = WatchedBeat()
    watched.look(FIRST, 0.0, 0.0)
    assert watched.look(FIRST, 1_000.0, 1_000.0)
