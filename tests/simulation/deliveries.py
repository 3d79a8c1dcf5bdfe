"""What receivers of results can rely on, checked by their own logs."""

from collections import defaultdict
from collections.abc import Iterator

from orchestrator.domain.webhooks.fanout import GONE, DeliveryState, JobDelivery
from orchestrator.ports.store import OutboxEntry, StoredJob
from tests.simulation.history import Delivery, History
from tests.simulation.scenario import Scenario
from tests.simulation.schedule import OFFSETS_S


def every_receiver_is_told(scenario: Scenario, history: History) -> Iterator[str]:
    """Each receiver of an ended job accepted its result, or was tried until the schedule was over."""
    log = _by_receiver(history)
    for stored in history.ended():
        if len(stored.deliveries) != len(stored.job.spec.webhooks):
            receivers = len(stored.job.spec.webhooks)
            yield f"{stored.job.id} has {receivers} receivers and {len(stored.deliveries)} deliveries"
        for entry in stored.deliveries:
            lines = log[_url(stored, entry), entry.id]
            if entry.state is DeliveryState.PENDING:
                yield f"{entry.id} is still to be made after {entry.attempts} attempts"
            if entry.state is DeliveryState.FAILED and not _given_up_rightly(entry, lines):
                yield f"{entry.id} was given up after {entry.attempts} attempts"


def the_same_body_goes_to_all(scenario: Scenario, history: History) -> Iterator[str]:
    """Each delivery of a job carries its result, and an id that belongs to its receiver."""
    told = {stored.job.id: stored for stored in history.ended()}
    ids = {entry.id: (stored, entry) for stored in told.values() for entry in stored.deliveries}
    for line in history.deliveries:
        found = ids.get(line.webhook_id)
        if found is None:
            yield f"{line.url} got {line.webhook_id}, which is in no outbox"
            continue
        stored, entry = found
        if line.url != _url(stored, entry):
            yield f"{line.url} got {line.webhook_id}, which is for {_url(stored, entry)}"
        if line.body != stored.result:
            yield f"{line.url} got another body than the result of {stored.job.id}"


def the_delivery_state_is_true(scenario: Scenario, history: History) -> Iterator[str]:
    """Who accepted shows as delivered and nobody else; the quorum is counted from the receivers' logs."""
    log = _by_receiver(history)
    for stored in history.ended():
        accepted = {
            entry.index for entry in stored.deliveries if _accepted(log[_url(stored, entry), entry.id])
        }
        for entry in stored.deliveries:
            shows = entry.state is DeliveryState.DELIVERED
            refused = any(line.status == GONE for line in log[_url(stored, entry), entry.id])
            if shows != (entry.index in accepted) and not (refused and not shows):
                yield f"{entry.id} shows as {entry.state}, accepted: {entry.index in accepted}"
        shown = {entry.index for entry in stored.deliveries if entry.state is DeliveryState.DELIVERED}
        if stored.delivery is not _expected(stored, shown):
            yield f"{stored.job.id} shows as {stored.delivery}, not {_expected(stored, shown)}"
        if history.listed[stored.job.id] is not stored.delivery:
            listed = history.listed[stored.job.id]
            yield f"{stored.job.id} shows as {stored.delivery}, and stands in lists as {listed}"


def _expected(stored: StoredJob, accepted: set[int]) -> JobDelivery:
    webhooks = stored.job.spec.webhooks
    if not webhooks:
        return JobDelivery.NONE
    if len(accepted) == len(webhooks):
        return JobDelivery.DELIVERED
    voters = {index for index, webhook in enumerate(webhooks) if webhook.has_quorum_vote}
    met = voters and len(voters & accepted) >= stored.job.spec.webhook_quorum
    return JobDelivery.QUORUM_MET if met else JobDelivery.FAILED


def _given_up_rightly(entry: OutboxEntry, lines: list[Delivery]) -> bool:
    return entry.attempts >= len(OFFSETS_S) or any(line.status == GONE for line in lines)


def _accepted(lines: list[Delivery]) -> bool:
    return any(line.status is not None and 200 <= line.status < 300 for line in lines)


def _by_receiver(history: History) -> defaultdict[tuple[str, str], list[Delivery]]:
    log = defaultdict(list)
    for line in history.deliveries:
        log[line.url, str(line.webhook_id)].append(line)
    return log


def _url(stored: StoredJob, entry: OutboxEntry) -> str:
    return stored.job.spec.webhooks[entry.index].url
