from orchestrator.domain.recent import Recent, RecentFor


def test_a_value_is_found_by_its_key_until_it_is_dropped() -> None:
    recent: Recent[str, int] = Recent(2)
    recent.put("a", 1)
    assert (recent.get("a"), recent.get("b")) == (1, None)
    recent.drop("a")
    recent.drop("a")
    assert recent.get("a") is None


def test_beyond_the_bound_the_one_put_in_longest_ago_goes_and_is_handed_back() -> None:
    recent: Recent[str, int] = Recent(2)
    assert [recent.put(key, number) for number, key in enumerate("abcd")] == [None, None, 0, 1]
    assert dict(recent.items()) == {"c": 2, "d": 3}


def test_a_key_that_is_put_in_again_takes_no_other_ones_place_and_stays_longer() -> None:
    recent: Recent[str, int] = Recent(2)
    assert [recent.put(key, 0) for key in "abab"] == [None] * 4
    recent.put("a", 1)
    recent.put("c", 2)
    assert list(recent.items()) == [("a", 1), ("c", 2)]


def test_to_look_a_value_up_keeps_it_no_longer() -> None:
    recent: Recent[str, int] = Recent(2)
    recent.put("a", 0)
    recent.put("b", 1)
    recent.get("a")
    assert recent.put("c", 2) == 0


def test_a_value_is_known_for_as_long_as_it_lasts() -> None:
    recent: RecentFor[str, str] = RecentFor(2, lasts_s=10.0)
    recent.put("a", "", now=100.0)
    assert (recent.get("a", 109.9), recent.get("a", 110.0)) == ("", None)
    assert recent.get("b", 100.0) is None


def test_a_value_that_is_put_in_again_lasts_from_then_on() -> None:
    recent: RecentFor[str, int] = RecentFor(9, lasts_s=10.0)
    recent.put("a", 1, now=100.0)
    recent.put("b", 1, now=101.0)
    recent.put("a", 2, now=105.0)
    assert (recent.get("a", 114.9), recent.get("b", 114.9)) == (2, None)


def test_what_has_run_out_is_held_no_longer_once_another_comes() -> None:
    recent: RecentFor[int, int] = RecentFor(1_000, lasts_s=10.0)
    for number in range(5):
        recent.put(number, number, now=100.0 + number)
    recent.put(0, 0, now=104.0)
    recent.put(9, 9, now=113.0)
    assert len(recent) == 3
    assert [number for number in range(10) if recent.get(number, 113.0) is not None] == [0, 4, 9]


def test_of_too_many_that_last_the_one_put_in_longest_ago_goes() -> None:
    recent: RecentFor[str, int] = RecentFor(2, lasts_s=10.0)
    for number, key in enumerate("aba"):
        recent.put(key, number, now=100.0)
    recent.put("c", 3, now=100.0)
    assert [recent.get(key, 100.0) for key in "abc"] == [2, None, 3]


def test_what_is_dropped_is_not_known_before_its_time_either() -> None:
    recent: RecentFor[str, int] = RecentFor(2, lasts_s=10.0)
    recent.put("a", 1, now=100.0)
    recent.drop("a")
    recent.drop("a")
    assert recent.get("a", 100.0) is None
