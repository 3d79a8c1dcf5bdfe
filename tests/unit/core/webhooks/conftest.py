import pytest

from orchestrator.core import maintenance
from orchestrator.domain.webhooks.fanout import DeliveryOptions, Schedule
from tests.unit.core.webhooks.post_office import PostOffice

HOUR_S = 3_600.0
NO_JITTER = DeliveryOptions(schedule=Schedule(jitter=0.0))


@pytest.fixture
def office() -> PostOffice:
    return PostOffice(options=NO_JITTER)


@pytest.fixture
def quiet_office(monkeypatch: pytest.MonkeyPatch) -> PostOffice:
    """Without heartbeats and looks for overdue jobs, which are most of the work of a day in virtual time."""
    monkeypatch.setattr(maintenance, "OVERDUE_EVERY_S", HOUR_S)
    return PostOffice(options=NO_JITTER, beating=False)
