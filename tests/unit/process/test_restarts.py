from orchestrator.adapters.process.restarts import RestartBudget


def after(*deaths_s: float) -> RestartBudget:
    budget = RestartBudget()
    for died_s in deaths_s:
        budget = budget.after_death(died_s)
    return budget


def test_two_deaths_leave_something_to_spend() -> None:
    assert not after(0.0, 1.0).spent


def test_the_third_death_within_a_minute_spends_the_budget() -> None:
    assert after(0.0, 30.0, 60.0).spent


def test_deaths_further_apart_than_the_window_never_spend_it() -> None:
    assert not after(0.0, 30.0, 60.1, 91.0, 121.0).spent


def test_old_deaths_are_not_kept() -> None:
    assert after(*(100.0 * n for n in range(50))).deaths_s == (4900.0,)


def test_lives_that_were_never_ready_spend_it_however_long_they_lasted() -> None:
    budget = RestartBudget()
    for died_s in (64.0, 128.0):
        budget = budget.after_death(died_s, was_ready=False)
    assert not budget.spent
    assert budget.after_death(192.0, was_ready=False).spent
    assert not budget.after_death(192.0, was_ready=True).spent
