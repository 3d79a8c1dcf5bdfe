"""Job specs as a seed draws them: races, fan-outs, retries, fallbacks, children, receivers."""

from collections.abc import Iterator, Sequence
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.domain.ids import RegionName
from orchestrator.domain.jobs.job import (
    DEFAULT_HEDGE,
    Fallback,
    HedgePolicy,
    JobSpec,
    RetryPolicy,
    Trigger,
    TriggerKind,
    Webhook,
)
from orchestrator.domain.jobs.policies import ExecutionMode, Guarantee, RegionPolicy

REGIONS = (RegionName("iad"), RegionName("lax"), RegionName("ord"))
EPOCH_MS = 1_763_674_210_000
"""Unix ms at which every run begins."""
METHODS = ("GET", "POST", "PUT")
STEPS_MOST = 3
HEDGES = (HedgePolicy(quantile=0.5, budget=1.0), DEFAULT_HEDGE)
"""Eager at a job's own target, as usual at its fallback's."""
ALWAYS_404 = "always-404"


CREDENTIALS = (
    (("Authorization", "Bearer one"),),
    (("Authorization", "Bearer two"),),
    (("x-api-key", "three"),),
)
COSTS = (1.0, 1.0, 5.0, 18.0)


def with_credentials(spec: JobSpec, random: Random) -> JobSpec:
    """Let a job and what follows from it ask in somebody's name, or in nobody's, and cost tokens."""

    def inner(following: JobSpec | None) -> JobSpec | None:
        return None if following is None else with_credentials(following, random)

    fallback = spec.fallback
    return replace(
        spec,
        headers=random.choice([(), *CREDENTIALS]),
        account=random.choice([None] * 5 + ["own"]),
        cost=random.choice(COSTS),
        fallback=fallback and replace(fallback, spec=with_credentials(fallback.spec, random)),
        on_success=inner(spec.on_success),
        on_failure=inner(spec.on_failure),
    )


class SpecDraw(Struct, frozen=True):
    """Draws specs over given hosts. Every step and child has a URL of its own: logs tell them apart."""

    random: Random
    targets: Sequence[str]
    receivers: Sequence[str]

    def spec(self, name: str, at_s: float) -> JobSpec:
        """Draw a submission made at ``at_s``, children included."""
        spec = self._job(name, at_s)
        place = self.random.choice([None] * 5 + ["on_success", "on_failure"])
        if place == "on_success":
            return replace(spec, on_success=self._child(f"{name}.on_success", at_s))
        if place == "on_failure":
            return replace(spec, on_failure=self._child(f"{name}.on_failure", at_s))
        return spec

    def with_fallback(self, spec: JobSpec) -> JobSpec:
        """Give a job a fallback in place of its own."""
        once = spec.guarantee is Guarantee.AT_MOST_ONCE
        following = self._step(str(spec.metadata["name"]), 1, once=once)
        return replace(spec, fallback=Fallback(self._trigger(late=not once), following))

    def _child(self, name: str, at_s: float) -> JobSpec:
        child = replace(self._job(name, at_s), retry_at=None, on_failure_timeout_ms=None)
        again = self.random.random() < 0.2
        return replace(child, on_success=self._job(f"{name}.on_success", at_s)) if again else child

    def _job(self, name: str, at_s: float) -> JobSpec:
        random = self.random
        webhooks = tuple(self._webhooks(name))
        voters = sum(webhook.has_quorum_vote for webhook in webhooks)
        late_s = random.choice([None] * 7 + [random.uniform(0, 5)])
        return replace(
            self._step(name, 0, once=random.random() < 0.15),
            metadata={"name": name},
            webhooks=webhooks,
            webhook_quorum=random.randint(1, max(1, voters)),
            priority=random.randint(0, 9),
            on_failure_timeout_ms=random.choice([None] * 9 + [random.randint(1_000, 8_000)]),
            idempotent_key=random.choice([None, f"key of {name}"]),
            retry_at=None if late_s is None else EPOCH_MS + int((at_s + late_s) * 1000),
        )

    def _step(self, name: str, step: int, *, once: bool) -> JobSpec:
        random = self.random
        path = random.choice(["job"] * 7 + [ALWAYS_404])
        regions = tuple(random.sample(REGIONS, 1 if once else random.choice([1, 1, 2, 3])))
        large = random.random() < 0.03
        spec = JobSpec(
            url=f"http://{random.choice(self.targets)}/{path}/{name}/{step}",
            method=random.choice(METHODS),
            body="x" * 90_000 if large else random.choice([None, "body"]),
            metadata={},
            regions=regions,
            region_policy=random.choice([RegionPolicy.FALLBACK] * 2 + [RegionPolicy.STRICT]),
            execution_mode=random.choice(
                [ExecutionMode.RACE] * 2 + [ExecutionMode.FANOUT, ExecutionMode.HEDGE]
            ),
            retry_policy=random.choice(
                [None, None, RetryPolicy(), RetryPolicy(max_retries=1, max_reroutes=0)]
            ),
            timeout_ms=random.choice([800, 2_000, 5_000]),
            hedge=HEDGES[step % len(HEDGES)],
            guarantee=Guarantee.AT_MOST_ONCE if once else Guarantee.AT_LEAST_ONCE,
        )
        if step + 1 < STEPS_MOST and random.random() < 0.25:
            following = self._step(name, step + 1, once=once)
            return replace(spec, fallback=Fallback(self._trigger(late=not once), following))
        return spec

    def _trigger(self, *, late: bool) -> Trigger:
        random = self.random
        kind = random.choice([TriggerKind.ANY, TriggerKind.ON_ERROR, TriggerKind.ON_TIMEOUT])
        if kind is TriggerKind.ON_TIMEOUT and late:
            return Trigger(kind=kind, timeout_ms=random.choice([50, 300, 1_000]))
        if kind is TriggerKind.ON_ERROR:
            return Trigger(kind=kind, codes=frozenset(random.sample([404, 429, 500, 503], 2)))
        return Trigger()

    def _webhooks(self, name: str) -> Iterator[Webhook]:
        for host in self.random.sample(self.receivers, self.random.choice([0, 1, 1, 2, 3])):
            yield Webhook(
                url=f"http://{host}/{name}",
                regions=tuple(self.random.sample(REGIONS, self.random.choice([0, 0, 1, 2]))),
                has_quorum_vote=self.random.random() < 0.8,
            )
