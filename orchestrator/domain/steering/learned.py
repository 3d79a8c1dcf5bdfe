"""What targets have taught, as it outlives a restart."""

from dataclasses import dataclass, field

from orchestrator.domain.ids import AccountId
from orchestrator.domain.pace.pacing import Pace, PaceState
from orchestrator.domain.steering.binding import Binding
from orchestrator.domain.steering.stated_paces import StatedPaces
from orchestrator.domain.waiting import still_to_wait_ms


@dataclass(frozen=True, slots=True)
class AccountTold:
    """The pace that an account was told, by which header; ``lapses_ms`` is Unix ms, None: it does not."""

    account: str
    rps: float
    max_concurrent: int
    lapses_ms: int | None
    source: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What a target has taught, as it is kept on disk. Times are Unix ms. What it did not say is None: that
    is the operator's to change.
    """

    pace: Pace | None = None
    lapses_ms: int | None = None
    account_queues: bool | None = None
    paused_until_ms: int | None = None
    tried_rps: float | None = None
    accounts_paused: tuple[tuple[str, int], ...] = ()
    accounts_told: tuple[AccountTold, ...] = ()
    """Where accounts have queues: what some of those were told that were answered last."""
    source: str = field(default="", compare=False)
    saved_ms: int | None = field(default=None, compare=False)


def write_down(paces: StatedPaces, binding: Binding, now: float, unix_ms: int) -> Learned:
    """Write down what has to outlive a restart, at monotonic ``now``."""

    def unix(at: float) -> int:
        return unix_ms + int((at - now) * 1000)

    lapses_at, throttle = paces.state.lapses_at, binding.throttles.own
    paused = throttle is not None and throttle.paused_until > now
    accounts = (binding.throttles.by_key or {}).items()
    return Learned(
        pace=paces.state.pace if paces.stated else None,
        source=paces.state.source,
        saved_ms=unix_ms,
        lapses_ms=None if lapses_at is None else unix(lapses_at),
        account_queues=binding.accounts.queues_told,
        paused_until_ms=unix(throttle.paused_until) if throttle is not None and paused else None,
        tried_rps=throttle.tried_rate(now) if throttle is not None else None,
        accounts_paused=tuple((key, unix(t.paused_until)) for key, t in accounts if t.paused_until > now),
        accounts_told=tuple(
            AccountTold(
                key,
                told.pace.rps,
                told.pace.max_concurrent,
                None if told.lapses_at is None else unix(told.lapses_at),
                told.source,
            )
            for key, told in binding.accounts.told(now)
        ),
    )


def take_up(learned: Learned, paces: StatedPaces, binding: Binding, now: float, unix_ms: int) -> None:
    """Go on from what was written down; what has lapsed meanwhile is left."""
    set_ms = unix_ms if learned.saved_ms is None else learned.saved_ms

    def monotonic(at_ms: int) -> float:
        return now + still_to_wait_ms(at_ms, set_ms, unix_ms) / 1000

    accounts, throttles = binding.accounts, binding.throttles
    accounts.queues_told = learned.account_queues
    if (pace := learned.pace) is not None:
        lapses_at = None if learned.lapses_ms is None else monotonic(learned.lapses_ms)
        paces.restore(pace, learned.source, lapses_at, now)
    if learned.paused_until_ms is not None and learned.paused_until_ms > unix_ms:
        throttles.domain().pause(monotonic(learned.paused_until_ms), now)
    if learned.tried_rps is not None:
        throttles.domain().try_rate(paces.state.pace.rps, learned.tried_rps, now)
    for kept in learned.accounts_told if accounts.have_queues else ():
        if kept.lapses_ms is None or kept.lapses_ms > unix_ms:
            ends_at = None if kept.lapses_ms is None else monotonic(kept.lapses_ms)
            told = PaceState(Pace(kept.rps, kept.max_concurrent), ends_at, kept.source)
            accounts.tell(AccountId(kept.account), told, now)
    for key, until_ms in learned.accounts_paused:
        if until_ms > unix_ms:
            throttles.of(key, now).pause(monotonic(until_ms), now)
