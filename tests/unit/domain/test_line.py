from orchestrator.domain.ids import JobId
from orchestrator.domain.line import Line


def a_line(**accounts: list[int]) -> Line:
    line = Line()
    for account, keys in accounts.items():
        for key in keys:
            line.add(account, entry(key))
    return line


def entry(key: int) -> tuple[int, JobId]:
    return key, JobId(f"job_{key}")


def test_an_account_alone_is_served_in_order_of_its_keys() -> None:
    line = a_line(a=[5, 1, 3])
    assert [line.place("a", entry(key)) for key in (1, 3, 5)] == [1, 2, 3]


def test_accounts_take_turns_and_whoever_came_first_begins() -> None:
    line = a_line(a=[1, 2, 3, 4], b=[10, 11])
    assert [line.place("a", entry(key)) for key in (1, 2, 3, 4)] == [1, 3, 5, 6]
    assert [line.place("b", entry(key)) for key in (10, 11)] == [2, 4]


def test_who_had_a_turn_goes_last() -> None:
    line = a_line(a=[1, 2], b=[10])
    line.remove("a", entry(1))
    assert (line.place("b", entry(10)), line.place("a", entry(2))) == (1, 2)


def test_what_does_not_wait_has_no_place() -> None:
    line = a_line(a=[1])
    assert line.place("a", entry(2)) is None
    assert line.place("b", entry(1)) is None
    line.remove("a", entry(1))
    assert (line.place("a", entry(1)), line.waiting("a")) == (None, 0)


def test_adding_and_removing_twice_changes_nothing() -> None:
    line = a_line(a=[1, 1, 2, 2], b=[3])
    line.remove("a", entry(9))
    assert (line.waiting("a"), line.place("b", entry(3))) == (2, 2)


def test_places_are_those_that_the_fair_queue_serves() -> None:
    line = a_line(a=[1, 2, 3, 4, 5], b=[6, 7], c=[8, 9, 10])
    waiting = {"a": [1, 2, 3, 4, 5], "b": [6, 7], "c": [8, 9, 10]}
    turns = ["a", "b", "c"]
    foretold = {key: line.place(account, entry(key)) for account, keys in waiting.items() for key in keys}
    served = []
    while turns:
        account = turns.pop(0)
        served.append(waiting[account].pop(0))
        turns += [account] if waiting[account] else []
    assert [foretold[key] for key in served] == list(range(1, 11))
