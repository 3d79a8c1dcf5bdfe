"""Webhooks to ten receivers: what nine of them feel of a tenth that takes requests and never answers.

Rounds without and with the hanging one alternate at the same offered rate, jobs being submitted when they
are due. A webhook's time runs from the target's answer, which carries its moment, to the webhook's arrival
at its receiver, which checks the signature. After a round the hanging one answers again, and has to get
all that it is owed before the next round begins.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import uvloop

from bench.figures import Figure, over_runs, percentile
from bench.loopback import GENEROUS_PACE
from bench.raw_http import RawListener, RawServer, answer
from bench.service import DEFAULT_REGIONS, Bystanders, Service, running_service
from bench.submitter import Submitter, at_a_rate, sign_webhooks
from ezthrottle import verify_webhook_signature

RECEIVERS = 10
REQUIRED_RATIO = 1.2
CONNECTIONS = 64
QUIET_CORES = 0.3
SECRET = "a secret of thirty-two characters"
REGIONS = tuple(DEFAULT_REGIONS.split(","))
TOLD_WITHIN_S = 60.0
OWED_WITHIN_S = 120.0
"""Longer than the second offset of the redeliveries."""
SIGNATURE = b"x-ezthrottle-signature:"


class Sender(StrEnum):
    """Who sends a webhook."""

    WEBHOOK_ACTOR = "webhook actor"
    EXECUTORS = "executors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How many jobs a round has, how many webhooks each of them, and how many jobs a second are offered."""

    jobs: int
    webhooks_per_job: int
    jobs_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """The nine receivers' webhooks by one sender, or by all. Times are ms."""

    webhooks: int
    p50_ms: float
    p99_ms: float

    @classmethod
    def of(cls, told_ms: Sequence[float]) -> "Times":
        """Sum up."""
        return cls(webhooks=len(told_ms), p50_ms=percentile(told_ms, 0.5), p99_ms=percentile(told_ms, 0.99))


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round. ``held_most``: the most requests that the hanging receiver had at once; ``owed``: webhooks
    that it had not accepted when the nine had all of theirs; ``owed_s``: how long after its recovery it had
    the last of them; ``late_p99_ms``: how far the load lagged behind its plan.
    """

    one_hangs: bool
    jobs_per_s: float
    all_senders: Times
    by_sender: dict[Sender, Times]
    late_p99_ms: float
    held_most: int
    owed: int
    owed_s: float
    others_cores: float


@dataclass(frozen=True, slots=True)
class Told:
    """A webhook: whose it is, who sends it, and the ms that it took, once it is there."""

    receiver: int
    sender: Sender
    took_ms: "asyncio.Future[float]"


class Hook(RawServer):
    """A connection to a receiver."""

    def __init__(self, receiver: "Receiver") -> None:
        super().__init__(receiver.take)
        self._receiver = receiver

    def data_received(self, data: bytes) -> None:
        """Hold requests while the receiver hangs."""
        if self._receiver.hangs:
            self._receiver.hold(self, data)
        else:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # why it went is no matter
        """Forget what was held: nobody waits for its answer."""
        self._receiver.let_go(self)


class Receiver:
    """One of the ten, with a port of its own: endpoints differ by host and port."""

    def __init__(self) -> None:
        self.hangs = False
        self.held_most = 0
        self.url = ""
        self._awaited: dict[str, asyncio.Future[float]] = {}
        self._held: dict[Hook, list[bytes]] = {}
        self._listener = RawListener(lambda: Hook(self))

    async def open(self) -> None:
        """Listen."""
        self.url = f"http://127.0.0.1:{await self._listener.open()}/hook"

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()

    def expect(self, key: str) -> "asyncio.Future[float]":
        """Await a job's webhook; the future holds the ms from the target's answer to its arrival."""
        return self._awaited.setdefault(key, asyncio.get_running_loop().create_future())

    def take(self, head: bytes, body: bytes) -> bytes:
        """Accept a webhook if it is signed."""
        now = time.monotonic()
        genuine, reason = verify_webhook_signature(body, _signature(head), SECRET)
        if not genuine:
            return answer("401 Unauthorized", body=reason.encode())
        webhook = json.loads(body)
        awaited = self._awaited.pop(webhook["idempotent_key"], None)
        if awaited is not None:
            awaited.set_result((now - json.loads(webhook["response"]["body"])["answered_at"]) * 1000)
        return _ACCEPTED

    def hold(self, hook: Hook, data: bytes) -> None:
        """Keep what came, unanswered."""
        self._held.setdefault(hook, []).append(data)
        self.held_most = max(self.held_most, len(self._held))

    def let_go(self, hook: Hook) -> None:
        """Forget what a connection held."""
        self._held.pop(hook, None)

    def recover(self) -> None:
        """Answer again, first what is held."""
        self.hangs = False
        held, self._held = self._held, {}
        for hook, parts in held.items():
            hook.data_received(b"".join(parts))


class Scene:
    """A service, a target and ten receivers."""

    def __init__(self, service: Service) -> None:
        self._submitter = Submitter(service)
        self._receivers = [Receiver() for _ in range(RECEIVERS)]
        self._target_url = ""
        self._numbers = itertools.count()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve until the block ends."""
        target = RawListener(lambda: RawServer(_answer_with_time))
        self._target_url = f"http://127.0.0.1:{await target.open()}/charge"
        for receiver in self._receivers:
            await receiver.open()
        await self._submitter.open(CONNECTIONS)
        try:
            yield
        finally:
            self._submitter.close()
            target.close()
            for receiver in self._receivers:
                receiver.close()
            # A socket is closed in the turn of the loop that follows.
            await asyncio.sleep(0)

    async def most_jobs_per_s(self, jobs: int, in_flight: int, webhooks_per_job: int) -> float:
        """Find out how many jobs a second the machine bears, each waiting for another's webhooks."""
        numbers = iter(range(jobs))

        async def work() -> None:
            for _ in numbers:
                await _all(await self._job(webhooks_per_job), TOLD_WITHIN_S)

        began = time.monotonic()
        await asyncio.gather(*(work() for _ in range(in_flight)))
        return jobs / (time.monotonic() - began)

    async def round(self, load: Load, *, one_hangs: bool) -> Round:
        """Offer the load; wait until every receiver was told everything.

        Raises:
            TimeoutError: A webhook did not come.
        """
        last, others = self._receivers[-1], Bystanders()
        last.hangs, last.held_most = one_hangs, 0
        jobs, late_ms = await at_a_rate(
            load.jobs, load.jobs_per_s, lambda _: self._job(load.webhooks_per_job)
        )
        told = [webhook for job in jobs for webhook in job]
        nine = [webhook for webhook in told if webhook.receiver != RECEIVERS - 1]
        await _all(nine, TOLD_WITHIN_S)
        others_cores, recovered = others.cores(), time.monotonic()
        owed = sum(not webhook.took_ms.done() for webhook in told) if one_hangs else 0
        last.recover()
        await _all(told, OWED_WITHIN_S)
        return Round(
            one_hangs=one_hangs,
            jobs_per_s=load.jobs_per_s,
            all_senders=_times(nine, *Sender),
            by_sender={sender: _times(nine, sender) for sender in Sender},
            late_p99_ms=percentile(late_ms, 0.99),
            held_most=last.held_most,
            owed=owed,
            owed_s=time.monotonic() - recovered if one_hangs else 0.0,
            others_cores=others_cores,
        )

    async def _job(self, webhooks: int) -> list[Told]:
        number = next(self._numbers)
        key = f"{self._target_url} {number}"
        # Receivers take turns; and each time that one has its turn, so do the senders and the regions.
        turn, first = divmod(number * webhooks, RECEIVERS)
        told = [self._expect(key, (first + nth) % RECEIVERS, turn) for nth in range(webhooks)]
        hooks = [self._webhook(webhook, turn) for webhook in told]
        job = {"url": self._target_url, "method": "POST", "idempotent_key": key, "webhooks": hooks}
        await self._submitter.submit(job)
        return told

    def _expect(self, key: str, receiver: int, turn: int) -> Told:
        sender = Sender.EXECUTORS if turn % 2 else Sender.WEBHOOK_ACTOR
        return Told(receiver, sender, self._receivers[receiver].expect(key))

    def _webhook(self, webhook: Told, turn: int) -> dict[str, object]:
        regions = [REGIONS[turn // 2 % len(REGIONS)]] if webhook.sender is Sender.EXECUTORS else []
        return {"url": self._receivers[webhook.receiver].url, "regions": regions}


def _times(told: Sequence[Told], *senders: Sender) -> Times:
    return Times.of([webhook.took_ms.result() for webhook in told if webhook.sender in senders])


async def _all(told: Sequence[Told], within_s: float) -> None:
    async with asyncio.timeout(within_s):
        await asyncio.gather(*(webhook.took_ms for webhook in told))


def _answer_with_time(_head: bytes, _body: bytes) -> bytes:
    return answer("200 OK", _PACE, json.dumps({"answered_at": time.monotonic()}).encode())


def _signature(head: bytes) -> str:
    at = head.lower().find(SIGNATURE)
    return "" if at < 0 else head[at + len(SIGNATURE) :].partition(b"\r\n")[0].strip().decode("latin-1")


async def compare(service: Service, options: argparse.Namespace) -> list[Round]:
    """Make all rounds in pairs; in every other pair the one with the hanging receiver comes first."""
    scene, rounds = Scene(service), []
    per_job = options.webhooks_per_job
    jobs = options.webhooks // per_job
    async with scene.running():
        await scene.most_jobs_per_s(jobs // 10, options.in_flight, per_job)
        most = await scene.most_jobs_per_s(jobs // 5, options.in_flight, per_job)
        rate = options.rate or options.share * most
        print(
            f"{options.in_flight} jobs in flight: {most:.0f} jobs/s; offered: {rate:.0f} jobs/s", flush=True
        )
        load = Load(jobs=jobs, webhooks_per_job=per_job, jobs_per_s=rate)
        for pair in range(options.pairs):
            for one_hangs in (pair % 2 == 1, pair % 2 == 0):
                rounds.append(await scene.round(load, one_hangs=one_hangs))
                print(show_round(rounds[-1]), flush=True)
            if options.json:
                options.json.write_text(json.dumps([asdict(each) for each in rounds], indent=1))
    return rounds


def quiet_pairs(rounds: Sequence[Round]) -> list[tuple[Round, Round]]:
    """Sort each pair, the round without the hanging receiver first. Pairs during which others used more than
    QUIET_CORES are left out: their two rounds met different machines. Unless there is no other.
    """
    pairs = [
        (first, second) if second.one_hangs else (second, first)
        for first, second in zip(rounds[::2], rounds[1::2], strict=True)
    ]
    quiet = [pair for pair in pairs if max(each.others_cores for each in pair) <= QUIET_CORES]
    return quiet or pairs


def ratios(pairs: Sequence[tuple[Round, Round]], sender: Sender | None, share: str) -> Figure:
    """Compare the nine's times with the hanging receiver to those without it, pair by pair."""
    return over_runs(
        [
            getattr(_chosen(beside, sender), share) / getattr(_chosen(alone, sender), share)
            for alone, beside in pairs
        ]
    )


def _chosen(round_: Round, sender: Sender | None) -> Times:
    return round_.all_senders if sender is None else round_.by_sender[sender]


def show_round(round_: Round) -> str:
    """Write one round for people."""
    senders = "  ".join(
        f"{sender} {times.p50_ms:6.1f} {times.p99_ms:7.1f}" for sender, times in round_.by_sender.items()
    )
    return (
        f"{'one hangs' if round_.one_hangs else 'all answer':10}  p50 p99 ms: all"
        f" {round_.all_senders.p50_ms:6.1f} {round_.all_senders.p99_ms:7.1f}  {senders}"
        f"  | late p99 {round_.late_p99_ms:5.1f} ms, held {round_.held_most},"
        f" owed {round_.owed} for {round_.owed_s:.1f} s, others {round_.others_cores:.1f}"
    )


def show(rounds: Sequence[Round]) -> str:
    """Write down what the rounds found."""
    pairs = quiet_pairs(rounds)
    lines = [f"{'median of the rounds (least to most)':44}{'p50':>26}{'p99':>26}"]
    for name, times in (
        ("all ten answer", [alone.all_senders for alone, _ in pairs]),
        ("the tenth hangs", [beside.all_senders for _, beside in pairs]),
    ):
        p50, p99 = (over_runs([each.p50_ms for each in times]), over_runs([each.p99_ms for each in times]))
        lines.append(f"{name + ', the nine: ms':44}{p50!s:>26}{p99!s:>26}")
    for sender in (None, *Sender):
        of_p50, of_p99 = (_ratio(ratios(pairs, sender, share)) for share in ("p50_ms", "p99_ms"))
        lines.append(f"{'ratio, ' + (sender or 'all senders'):44}{of_p50:>26}{of_p99:>26}")
    lines.append(
        f"pairs: {len(pairs)} of {len(rounds) // 2} (others used at most {QUIET_CORES:g} cores, if any)"
    )
    return "\n".join([*lines, f"required: the ratio of the p99s, all senders, at most {REQUIRED_RATIO:g}"])


def _ratio(figure: Figure) -> str:
    return f"{figure.median:.2f} ({figure.least:.2f} to {figure.most:.2f})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=5, help="rounds of each kind")
    parser.add_argument("--webhooks", type=int, default=10_000, help="webhooks a round")
    parser.add_argument("--webhooks-per-job", type=int, default=1)
    parser.add_argument(
        "--share", type=float, default=0.5, help="offered, of the rate that the machine bears"
    )
    parser.add_argument("--rate", type=float, help="jobs offered a second, whatever the machine bears")
    parser.add_argument("--in-flight", type=int, default=100, help="jobs at once, to find that rate")
    parser.add_argument("--quick", action="store_true", help="two pairs of 2,000 webhooks")
    parser.add_argument("--json", type=Path, help="write the rounds here, after each pair")
    options = parser.parse_args()
    if options.quick:
        options.pairs, options.webhooks = 2, 2_000
    with running_service("--allow-private-targets") as service:
        sign_webhooks(service, SECRET)
        rounds = uvloop.run(compare(service, options))
    print(show(rounds))


_ACCEPTED = answer("200 OK")
_PACE = "".join(f"{name}: {value}\r\n" for name, value in GENEROUS_PACE.items())

if __name__ == "__main__":
    main()
