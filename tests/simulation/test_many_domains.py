"""What ``make bench-domains`` says of very many targets; the figures themselves are the benchmark's."""

import json

from tests.simulation.many_domains import Cost, Picking, as_json, bytes_per_idle_domain


def test_the_figures_are_written_whole() -> None:
    picking = Picking(few_us=1.0, many_us=2.0, ratio=2.0)

    written = json.loads(as_json(Cost(3, 4.5, picking, picking, picking)))

    each = {"few_us": 1.0, "many_us": 2.0, "ratio": 2.0}
    names = ("among_domains", "among_jobs_of_one_account", "among_accounts")
    assert written == {"domains": 3, "bytes_each": 4.5} | dict.fromkeys(names, each)


def test_an_idle_target_is_weighed() -> None:
    assert bytes_per_idle_domain(20) > 0
