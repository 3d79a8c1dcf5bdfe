from orchestrator.domain.steering.witnesses import Soloists, Witnesses

STRICT, MILD = (0.01,), (1.0,)


def test_another_bears_witness_for_a_minute() -> None:
    heard = Witnesses()
    assert not heard.hear("a", MILD, 100.0)
    assert heard.hear("b", MILD, 159.0)
    assert not heard.hear("c", MILD, 300.0)


def test_nobody_is_a_witness_to_itself() -> None:
    heard = Witnesses()
    assert not any(heard.hear("a", MILD, at) for at in (100.0, 101.0, 102.0))


def test_only_who_was_told_as_strictly_bears_witness() -> None:
    heard = Witnesses()
    heard.hear("honest", MILD, 100.0)
    assert not heard.hear("evil", STRICT, 100.0)
    assert heard.hear("honest", MILD, 101.0)
    assert not heard.hear("evil", STRICT, 102.0)


def test_what_two_are_told_may_differ_a_little() -> None:
    heard = Witnesses()
    heard.hear("a", (10.0, 5.0), 100.0)
    assert heard.hear("b", (9.5, 5.0), 100.0)
    assert not heard.hear("c", (9.5, 1.0), 100.0)


def test_a_witness_that_is_used_up_counts_no_more() -> None:
    heard = Witnesses()
    heard.hear("a", (), 100.0)
    assert heard.hear("b", (), 101.0)
    heard.use_up("b")
    assert not heard.hear("b", (), 102.0)
    assert heard.hear("a", (), 103.0)


def test_a_crowd_of_names_is_not_remembered_whole() -> None:
    heard, alone = Witnesses(), Soloists()
    for number in range(1_000):
        heard.hear(f"{number}", MILD, 100.0)
        alone.binds_until(f"{number}", 100.0)
    assert (len(heard._words), len(alone._heard)) == (16, 16)


def test_who_is_alone_binds_all_for_a_minute_from_the_first_time_on() -> None:
    alone = Soloists()
    assert [alone.binds_until("a", now) for now in (100.0, 130.0, 200.0, 650.0)] == [160.0] * 4


def test_who_heard_nothing_for_long_begins_anew() -> None:
    alone = Soloists()
    alone.binds_until("a", 100.0)
    assert alone.binds_until("a", 701.0) == 761.0
