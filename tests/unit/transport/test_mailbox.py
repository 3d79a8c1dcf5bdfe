"""The mailbox against a carrier whose batches arrive when the test says so."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.ids import AttemptId
from orchestrator.domain.mail_room import MailRoom, MailShare
from orchestrator.messages.codec import BatchReader, Header
from orchestrator.messages.types import AttemptDone, CancelAttempt, Message
from orchestrator.runtime.loop_turns import until_mail_has_left
from orchestrator.transport import mailbox as module
from orchestrator.transport.mailbox import BATCH_BYTES, BATCHES_UNDER_WAY, Mailbox

HEADER, NEXT = Header(1, "first"), Header(1, "second")


@dataclass
class Sent:
    """A batch on its way."""

    batch: bytes
    header: Header
    messages: list[Message]
    fate: asyncio.Future[None]

    @property
    def names(self) -> list[str]:
        return [m.attempt for m in self.messages if isinstance(m, CancelAttempt | AttemptDone)]

    def arrive(self) -> None:
        self.fate.set_result(None)

    def fail(self) -> None:
        self.fate.set_exception(ConnectionError("the peer is gone"))


class Carrier:
    """Hands each batch to the test."""

    def __init__(self) -> None:
        self._reader = BatchReader()
        self._sent: asyncio.Queue[Sent] = asyncio.Queue()
        self.under_way = 0

    async def __call__(self, batch: bytes) -> None:
        fate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sent.put_nowait(Sent(batch, *self._reader.read(batch), fate))
        self.under_way += 1
        try:
            await fate
        finally:
            self.under_way -= 1

    async def next(self) -> Sent:
        return await self._sent.get()

    @property
    def idle(self) -> bool:
        """Whether no batch has come that the test has not taken."""
        return self._sent.empty()

    async def holds(self, count: int) -> None:
        """Take as many batches, and leave them under way."""
        for _ in range(count):
            await self.next()
        assert self.under_way == count

    async def sends_nothing_more(self) -> bool:
        """Give every callback that is due its turns, and see that none sent a batch."""
        for _ in range(20):
            await asyncio.sleep(0)
        return self.idle


class PromptCarrier(Carrier):
    """Has written a batch by the time that it returns, and gives what says how that went; as a link does."""

    refuses = 0
    """Batches that it does not even write."""

    def __call__(self, batch: bytes) -> asyncio.Future[None]:  # type: ignore[override]  # a future is awaited, too
        if self.refuses:
            self.refuses -= 1
            raise ConnectionResetError("there is no connection")
        fate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sent.put_nowait(Sent(batch, *self._reader.read(batch), fate))
        self.under_way += 1
        fate.add_done_callback(self._leave)
        return fate

    def _leave(self, _: asyncio.Future[None]) -> None:
        self.under_way -= 1


@pytest.fixture(params=[Carrier, PromptCarrier])
def carrier(request: pytest.FixtureRequest) -> Carrier:
    made: Carrier = request.param()
    return made


@pytest.fixture
async def mailbox(carrier: Carrier, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Mailbox]:
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.001)
    box = Mailbox(carrier, HEADER)
    yield box
    await box.close()


def post(mailbox: Mailbox, *names: str) -> None:
    for name in names:
        mailbox.post(CancelAttempt(AttemptId(name)))


def post_large(mailbox: Mailbox, name: str, size: int) -> None:
    response = HttpResponse(status=200, headers={}, body=b"x" * size)
    mailbox.post(AttemptDone(AttemptId(name), 1.0, response))


async def test_what_is_posted_in_one_turn_is_one_batch(carrier: Carrier, mailbox: Mailbox) -> None:
    post(mailbox, "a", "b", "c")
    sent = await carrier.next()
    assert sent.names == ["a", "b", "c"]
    assert sent.header == HEADER


async def test_an_idle_mailbox_sends_at_once_and_then_nothing(carrier: Carrier, mailbox: Mailbox) -> None:
    post(mailbox, "a")
    (await carrier.next()).arrive()
    assert await carrier.sends_nothing_more()


async def test_a_knock_carries_an_empty_batch_and_holds_up_no_message(
    carrier: Carrier, mailbox: Mailbox
) -> None:
    mailbox.readdress(NEXT)
    mailbox.knock()
    knock = await carrier.next()
    assert (knock.header, knock.messages) == (NEXT, [])
    post(mailbox, "a")
    assert (await carrier.next()).names == ["a"]


async def test_what_is_posted_while_batches_are_under_way_is_the_next_batch(
    carrier: Carrier, mailbox: Mailbox
) -> None:
    under_way = []
    for number in range(BATCHES_UNDER_WAY):
        post(mailbox, str(number))
        under_way.append(await carrier.next())
    post(mailbox, "x")
    assert await carrier.sends_nothing_more()
    post(mailbox, "y", "z")
    under_way[0].arrive()
    assert (await carrier.next()).names == ["x", "y", "z"]


async def test_at_most_two_batches_are_under_way(carrier: Carrier, mailbox: Mailbox) -> None:
    for number in range(50):
        post(mailbox, str(number))
        await asyncio.sleep(0)
    await carrier.holds(2)
    assert await carrier.sends_nothing_more()


async def test_a_batch_whose_carrier_failed_goes_again_as_it_was(carrier: Carrier, mailbox: Mailbox) -> None:
    post(mailbox, "a", "b")
    first = await carrier.next()
    first.fail()
    second = await carrier.next()
    second.fail()
    third = await carrier.next()
    assert first.batch == second.batch == third.batch
    third.arrive()
    assert await carrier.sends_nothing_more()


async def test_a_batch_that_a_carrier_refuses_at_once_goes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.001)
    carrier = PromptCarrier()
    carrier.refuses = 2
    mailbox = Mailbox(carrier, HEADER)
    post(mailbox, "a")
    assert (await carrier.next()).names == ["a"]
    await mailbox.close()


async def test_what_was_posted_has_left_two_turns_later() -> None:
    carrier = PromptCarrier()
    mailbox = Mailbox(carrier, HEADER)
    post(mailbox, "a")
    assert carrier.idle, "what else is posted in this turn goes with it"
    await until_mail_has_left()
    assert not carrier.idle
    await mailbox.close()


async def test_a_failing_batch_does_not_hold_up_the_next(carrier: Carrier, mailbox: Mailbox) -> None:
    post(mailbox, "a")
    first = await carrier.next()
    post(mailbox, "b")
    assert (await carrier.next()).names == ["b"]
    first.fail()
    assert (await carrier.next()).names == ["a"]


async def test_readdressing_drops_what_waits_and_names_the_new_peer(
    carrier: Carrier, mailbox: Mailbox
) -> None:
    for name in ("a", "b"):
        post(mailbox, name)
        await carrier.next()
    post(mailbox, "dropped")
    post_large(mailbox, "dropped too", 200_000)
    mailbox.readdress(NEXT)
    post(mailbox, "new")
    sent = await carrier.next()
    assert (sent.header, sent.names) == (NEXT, ["new"])


async def test_a_batch_for_the_old_peer_does_not_go_again(carrier: Carrier, mailbox: Mailbox) -> None:
    post(mailbox, "old")
    sent = await carrier.next()
    sent.fail()
    mailbox.readdress(NEXT)
    post(mailbox, "new")
    assert (await carrier.next()).names == ["new"]
    assert await carrier.sends_nothing_more()


async def test_batches_that_hang_do_not_hold_up_a_new_peer(carrier: Carrier, mailbox: Mailbox) -> None:
    for name in ("hangs", "hangs too"):
        post(mailbox, name)
        await carrier.next()
    mailbox.readdress(NEXT)
    post(mailbox, "new")
    assert (await carrier.next()).names == ["new"]


async def test_a_large_message_does_not_hold_up_small_ones(carrier: Carrier, mailbox: Mailbox) -> None:
    post_large(mailbox, "large", 2_000_000)
    post(mailbox, "small")
    assert (await carrier.next()).names == ["small"]


async def test_a_flood_of_small_messages_does_not_hold_up_a_large_one(
    carrier: Carrier, mailbox: Mailbox
) -> None:
    post_large(mailbox, "large", 3 * BATCH_BYTES)
    arrived: list[str] = []
    for number in range(30):
        for filler in range(BATCH_BYTES // 1_000):
            post_large(mailbox, f"{number}-{filler}", 1_000)
        sent = await carrier.next()
        sent.arrive()
        arrived += sent.names
    assert "large" in arrived


async def test_a_large_message_uses_both_places(carrier: Carrier, mailbox: Mailbox) -> None:
    post_large(mailbox, "large", 1_000_000)
    await carrier.holds(2)


@pytest.mark.parametrize("size", [10, 60_000, 5 * 2**20])
async def test_no_batch_grows_over_its_bound(carrier: Carrier, mailbox: Mailbox, size: int) -> None:
    for number in range(20 if size < 100_000 else 1):
        post_large(mailbox, str(number), size)
    post(mailbox, *map(str, range(5_000)), "last")
    names: list[str] = []
    while not ("last" in names and "0" in names):
        sent = await carrier.next()
        assert len(sent.batch) < 100_000
        names += sent.names
        sent.arrive()


async def test_a_batch_that_arrives_nowhere_shows_however_often_it_is_dropped(
    carrier: Carrier, mailbox: Mailbox
) -> None:
    assert mailbox.stuck_s() == 0.0
    post(mailbox, "a")
    await carrier.next()
    await asyncio.sleep(0.05)
    mailbox.readdress(HEADER)
    assert mailbox.stuck_s() >= 0.05
    mailbox.knock()
    knock = await carrier.next()
    assert mailbox.stuck_s() >= 0.05
    knock.arrive()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert mailbox.stuck_s() == 0.0


async def test_another_peer_is_not_blamed_for_what_the_first_did_not_take(
    carrier: Carrier, mailbox: Mailbox
) -> None:
    post(mailbox, "a")
    await carrier.next()
    mailbox.readdress(NEXT)
    assert mailbox.stuck_s() == 0.0


async def test_closing_ends_what_is_under_way(carrier: Carrier, mailbox: Mailbox) -> None:
    post(mailbox, "a")
    await carrier.next()
    post(mailbox, "b")
    await mailbox.close()
    assert carrier.under_way == 0
    assert await carrier.sends_nothing_more()


async def test_a_large_message_is_gone_once_the_last_of_it_has_left(
    carrier: Carrier, mailbox: Mailbox
) -> None:
    gone: list[str] = []
    for name, size in (("a", 2 * BATCH_BYTES), ("b", 2 * BATCH_BYTES), ("small", 10)):
        response = HttpResponse(status=200, headers={}, body=b"x" * size)
        mailbox.post(AttemptDone(AttemptId(name), 1.0, response), lambda name=name: gone.append(name))

    seen = []
    while len(seen) < 3:
        sent = await carrier.next()
        seen += sent.names
        assert set(seen) & {"a", "b"} <= set(gone)
        sent.arrive()
    assert gone == ["a", "b", "small"]


async def test_what_is_dropped_with_the_peer_that_it_was_for_is_gone(
    carrier: Carrier, mailbox: Mailbox
) -> None:
    gone: list[str] = []
    response = HttpResponse(status=200, headers={}, body=b"x" * 20 * BATCH_BYTES)
    mailbox.post(AttemptDone(AttemptId("a"), 1.0, response), lambda: gone.append("a"))
    await carrier.holds(2)
    assert not gone
    mailbox.readdress(NEXT)
    assert gone == ["a"]


@pytest.fixture
def share() -> MailShare:
    return MailShare(MailRoom())


@pytest.fixture
async def counted(carrier: Carrier, share: MailShare) -> AsyncIterator[Mailbox]:
    mailbox = Mailbox(carrier, HEADER, share)
    yield mailbox
    await mailbox.close()
    assert share.held == 0


async def test_what_waits_or_is_under_way_counts_until_it_has_arrived(
    carrier: Carrier, counted: Mailbox, share: MailShare
) -> None:
    post(counted, "small")
    post_large(counted, "large", 100_000)
    assert share.held > 100_000
    first, second = await carrier.next(), await carrier.next()
    assert share.held > 100_000, "it is on its way"
    first.arrive()
    second.arrive()
    assert await carrier.sends_nothing_more()
    assert share.held == 0


async def test_what_is_dropped_with_a_peers_life_counts_no_longer(
    carrier: Carrier, counted: Mailbox, share: MailShare
) -> None:
    for number in range(2 * BATCHES_UNDER_WAY):
        post_large(counted, str(number), 100_000)
    await carrier.next()
    counted.readdress(NEXT)
    assert await carrier.sends_nothing_more()
    assert share.held == 0


async def test_a_message_that_counts_elsewhere_does_so_until_it_has_arrived(
    carrier: Carrier, counted: Mailbox, share: MailShare
) -> None:
    elsewhere = MailShare(MailRoom())
    answer = HttpResponse(status=200, headers={}, body=bytes(100_000))
    counted.post(AttemptDone(AttemptId("lent"), 1.0, answer), count=elsewhere)
    post(counted, "small")
    assert elsewhere.held > 100_000 > share.held > 0
    for _ in range(2):
        (await carrier.next()).arrive()
    assert await carrier.sends_nothing_more()
    assert elsewhere.held == share.held == 0


async def test_large_messages_that_are_dropped_alone_count_no_longer(
    carrier: Carrier, counted: Mailbox, share: MailShare
) -> None:
    post_large(counted, "large", 20 * BATCH_BYTES)
    await carrier.holds(2)
    counted.drop_large()
    assert share.held <= 2 * BATCH_BYTES, "only what is on its way"
