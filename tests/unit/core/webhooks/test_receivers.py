"""What is known of receivers: whose they are, how many attempts they take, how fast, and of how many."""

from orchestrator.core.webhooks import receivers
from orchestrator.core.webhooks.receivers import Receivers
from orchestrator.domain.ids import CustomerId, TargetDomain
from tests.unit.core.webhooks.post_office import PostOffice, down_until, hook, up
from tests.unit.domain.builders import ACME
from tests.unit.http.gateway import BETA

ONE, OTHER = TargetDomain("one.example:443"), TargetDomain("other.example:443")


def note(known: Receivers, customer: CustomerId, endpoint: TargetDomain, *, taken: bool = True) -> None:
    known.note(customer, endpoint, 0.02, answered=taken, taken=taken)


def test_a_customer_is_shown_its_own_receivers_the_worst_first() -> None:
    known = Receivers()
    for taken in (True, True, False, True):
        note(known, ACME, ONE, taken=taken)
    note(known, ACME, OTHER)
    note(known, BETA, ONE)
    worst, best = known.of(ACME, 10)
    assert (worst.endpoint, worst.attempts, worst.taken) == (ONE, 4, 3)
    assert (best.endpoint, best.attempts, best.taken) == (OTHER, 1, 1)
    assert known.of(ACME, 1) == (worst,)
    assert [view.attempts for view in known.of(BETA, 10)] == [1]


def test_latency_is_that_of_the_answers_and_unknown_before_any() -> None:
    known = Receivers()
    known.note(ACME, ONE, 30.0, answered=False, taken=False)
    (silent,) = known.of(ACME, 1)
    assert (silent.p50_s, silent.p99_s) == (None, None)
    known.note(ACME, ONE, 0.02, answered=True, taken=False)
    (answering,) = known.of(ACME, 1)
    assert answering.p99_s is not None
    assert 0.01 <= answering.p99_s <= 0.025


def test_of_too_many_those_are_forgotten_that_were_not_tried_for_longest() -> None:
    known = Receivers()
    names = [TargetDomain(f"{number}.example:443") for number in range(receivers.KNOWN_MOST)]
    for name in names:
        note(known, ACME, name)
    note(known, ACME, names[0])
    note(known, BETA, ONE)
    kept = {view.endpoint for view in known.of(ACME, receivers.KNOWN_MOST)}
    assert kept == {*names} - {names[1]}


def test_each_attempt_at_a_receiver_is_counted(office: PostOffice) -> None:
    office.receivers |= {"well.test": up, "ill.test": down_until(3_600.0)}

    async def play() -> dict[str, tuple[int, int]]:
        await office.until(1)
        await office.tell(hook("well.test"), hook("ill.test"))
        await office.until(2)
        shown = office.shard.webhooks.outbox.receivers.of(ACME, 10)
        return {view.endpoint: (view.attempts, view.taken) for view in shown}

    assert office.run(play) == {"ill.test:80": (1, 0), "well.test:80": (1, 1)}
