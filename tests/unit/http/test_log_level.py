"""How much each part of the service logs, changed over HTTP."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.runtime.log_levels import LOGGERS, Component, LogLevel, log_levels
from tests.unit.http.gateway import JOBS, KEY, Gateway
from tests.unit.http.test_administration import ask, audited


@pytest.fixture(autouse=True)
def levels_as_before() -> Iterator[None]:
    before = {name: logging.getLogger(name).level for name in LOGGERS.values()}
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


async def test_a_part_logs_more_from_then_on_and_the_others_do_not(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    for component in Component:
        await ask(gateway, "PUT log-level", {"component": component, "level": "warning"})
    caplog.clear()
    set_ = await ask(gateway, "PUT log-level", {"component": "http", "level": "debug"})
    assert set_.json()["levels"] == dict.fromkeys(Component, "warning") | {"http": "debug"}
    assert (await ask(gateway, "GET log-level")).json() == set_.json()
    await gateway.client.get(JOBS, headers={"authorization": f"Bearer {KEY}"})
    told = [(record.name, record.getMessage()) for record in caplog.records]
    assert ("orchestrator.adapters.http.access", f"GET {JOBS} with the key key of cust_acme") in told
    assert not any(KEY in message for _, message in told)


async def test_a_level_that_is_set_is_in_the_audit(gateway: Gateway) -> None:
    await ask(gateway, "PUT log-level", {"component": "store", "level": "error"})
    (line,) = await audited(gateway)
    assert (line["act"], line["subject"], line["detail"]) == ("log_level.set", "store", {"level": "error"})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"component": "root", "level": "debug"}, "component"),
        ({"component": "http", "level": "loud"}, "level"),
        ({"level": "debug"}, "component"),
    ],
)
async def test_what_is_no_part_or_no_level_changes_nothing(
    gateway: Gateway, body: dict[str, Any], field: str
) -> None:
    before = log_levels()
    refused = await ask(gateway, "PUT log-level", body)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)
    assert log_levels() == before


@pytest.mark.parametrize(
    ("level", "shown"), [(15, LogLevel.INFO), (logging.CRITICAL, LogLevel.ERROR), (1, LogLevel.DEBUG)]
)
def test_a_level_between_ours_is_shown_as_the_one_above(level: int, shown: LogLevel) -> None:
    logging.getLogger(LOGGERS[Component.CORE]).setLevel(level)
    assert log_levels()[Component.CORE] is shown
