"""Which limiters are kept, in virtual time."""

from orchestrator.core.shard_options import ShardOptions
from orchestrator.core.targets.domain_limiter import DomainLimiter
from orchestrator.core.targets.limiter_registry import LimiterRegistry
from orchestrator.domain.ids import CustomerId, JobId, TargetDomain
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.queueing.ticket import Ticket
from tests.support.outlet import HeapClock, response

API = TargetDomain("api.example.com")
LONG_S = 700.0


class Book:
    """A book whose requests are answered at once, or kept."""

    def __init__(self) -> None:
        self.clock = HeapClock()
        self.under_way: list[tuple[DomainLimiter, int]] = []
        self.domains = LimiterRegistry(
            self.clock,
            ShardOptions(regions=(), pace=Pace(2.0, 2)),
            launch=lambda limiter, _ticket, permit: self.under_way.append((limiter, permit)),
            opens_at=lambda _domain, now: now,
        )

    def call(self) -> None:
        number = len(self.under_way)
        self.domains.limiter(API).enqueue(
            Ticket(number, JobId(f"job_{number}"), customer=CustomerId("cust_a"))
        )

    def answer(self, **headers: object) -> None:
        limiter, permit = self.under_way.pop()
        now = self.clock.now()
        limiter.started(permit, now)
        limiter.hear(permit, response(200, **headers), now, now)
        limiter.closed(permit)

    async def pass_time(self, seconds: float) -> None:
        self.clock.run_until(self.clock.now() + seconds)
        await self.domains.forget_idle()


async def test_a_target_that_nobody_has_called_for_long_is_forgotten() -> None:
    book = Book()
    book.call()
    book.answer()
    await book.pass_time(LONG_S / 2)
    assert list(book.domains) == [API]
    await book.pass_time(LONG_S / 2)
    assert list(book.domains) == []


async def test_a_target_with_a_request_under_way_is_kept() -> None:
    book = Book()
    book.call()
    await book.pass_time(LONG_S)
    assert list(book.domains) == [API]


async def test_what_a_target_told_is_kept() -> None:
    book = Book()
    book.call()
    book.answer(**{"x-ezthrottle-rps": "5"})
    await book.pass_time(LONG_S)
    assert book.domains[API].pace.rps == 5.0


async def test_whoever_still_holds_a_limiter_and_whoever_asks_for_it_have_the_same() -> None:
    book = Book()
    held = book.domains.limiter(API)
    await book.pass_time(LONG_S)
    assert API not in book.domains
    assert book.domains.limiter(API) is held


async def test_a_limiter_that_gets_work_from_who_still_holds_it_is_found_again() -> None:
    book = Book()
    held = book.domains.limiter(API)
    await book.pass_time(LONG_S)
    held.enqueue(Ticket(1, JobId("job_1"), customer=CustomerId("cust_a")))
    assert book.domains[API] is held


async def test_what_is_held_after_a_restart_is_kept_until_it_is_released() -> None:
    book = Book()
    book.domains.begin({}, after_another_life=True)
    held = book.domains.limiter(API)
    await book.domains.forget_idle()
    book.domains.release()
    await book.pass_time(10)
    held.enqueue(Ticket(1, JobId("job_1"), customer=CustomerId("cust_a")))
    assert len(book.under_way) == 1


async def test_a_limiter_that_was_at_rest_starts_nothing_once_all_are_closed() -> None:
    book = Book()
    held = book.domains.limiter(API)
    await book.pass_time(LONG_S)
    book.domains.close()
    book.call()
    assert (book.under_way, held.waiting) == ([], 1)
