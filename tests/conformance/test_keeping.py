"""What a store keeps beside jobs: its epoch, paces, secrets and keys."""

from orchestrator.domain.access.usage import DayUsage
from orchestrator.domain.ids import CustomerId, TargetDomain
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.steering.learned import Learned
from orchestrator.ports.customers import WebhookSecrets
from orchestrator.ports.store import Store
from tests.conformance.stores import Keeper, add_key, flush, revoke
from tests.unit.domain.builders import ACME, NOW_MS

BETA = CustomerId("cust_beta")
TAUGHT = Learned(
    pace=Pace(7.5, 4),
    account_queues=True,
    paused_until_ms=1_763_674_210_055,
    tried_rps=3.25,
    accounts_paused=(("a3f1", 1_763_674_299_000), ("@cust_beta", 1_763_674_299_001)),
)
LOWERED = Learned(pace=Pace(0.01, 1), lapses_ms=1_763_674_210_055)
ONE = WebhookSecrets(primary="a_new_secret_of_16", secondary="an_old_secret_of_16")


async def test_the_epoch_begins_at_one_and_grows_with_every_opening(keeper: Keeper) -> None:
    epochs = [await (await keeper.open()).jobs.begin_epoch() for _ in range(3)]
    assert epochs == [1, 2, 3]


async def test_paces_are_kept(keeper: Keeper) -> None:
    store = await keeper.open()
    assert await store.jobs.paces() == {}
    store.jobs.note_pace(TargetDomain("a.example.com"), Learned(pace=Pace(5.0, 3)))
    store.jobs.note_pace(TargetDomain("b.example.com:81"), LOWERED)
    store.jobs.note_pace(TargetDomain("a.example.com"), TAUGHT)
    assert await (await keeper.open()).jobs.paces() == {
        "a.example.com": TAUGHT,
        "b.example.com:81": LOWERED,
    }


async def test_secrets_are_kept(keeper: Keeper) -> None:
    await (await keeper.open()).customers.put_secrets(ACME, ONE)
    store = await keeper.open()
    assert await store.customers.secrets(ACME) == ONE
    assert await store.customers.secrets(BETA) is None


async def test_new_secrets_replace_the_old_ones_whole(store: Store) -> None:
    await store.customers.put_secrets(ACME, ONE)
    await store.customers.put_secrets(ACME, WebhookSecrets(primary="schlüssel_von_16_Z"))
    assert await store.customers.secrets(ACME) == WebhookSecrets(primary="schlüssel_von_16_Z", secondary=None)


async def test_dropping_secrets_says_whether_there_were_any(store: Store) -> None:
    await store.customers.put_secrets(ACME, ONE)
    assert await store.customers.drop_secrets(BETA) is False
    assert await store.customers.drop_secrets(ACME) is True
    assert await store.customers.drop_secrets(ACME) is False
    assert await store.customers.secrets(ACME) is None


async def test_a_key_names_its_customer_until_it_is_revoked(keeper: Keeper) -> None:
    store = await keeper.open()
    (mine, made), (theirs, _) = await add_key(keeper), await add_key(keeper, BETA)
    found = [await store.customers.caller_of(key, NOW_MS) for key in (mine, theirs)]
    assert [caller and caller.customer for caller in found] == [ACME, BETA]
    await revoke(keeper, made)
    assert [await store.customers.caller_of(key, NOW_MS) for key in (mine, theirs)] == [None, found[1]]


async def test_a_key_that_nobody_made_names_nobody(store: Store) -> None:
    assert await store.customers.caller_of("ck_live_cust_acme_guessed", NOW_MS) is None
    assert await store.customers.caller_of("", NOW_MS) is None


async def test_the_plans_of_valid_keys_are_listed(keeper: Keeper) -> None:
    store = await keeper.open()
    assert await store.customers.plans(NOW_MS) == []
    (_, made), _ = await add_key(keeper), await add_key(keeper, BETA)
    assert sorted(await store.customers.plans(NOW_MS)) == [(ACME, "pro"), (BETA, "pro")]
    await revoke(keeper, made)
    assert await store.customers.plans(NOW_MS) == [(BETA, "pro")]


async def test_closing_loses_nothing_that_was_noted(keeper: Keeper) -> None:
    store = await keeper.open()
    for number in range(100):
        store.jobs.note_pace(TargetDomain(f"{number}.example.com"), Learned(pace=Pace()))
    await keeper.close()
    assert len(await (await keeper.open()).jobs.paces()) == 100


async def test_flushing_waits_for_what_was_noted(store: Store) -> None:
    store.jobs.note_pace(TargetDomain("a.example.com"), Learned(pace=Pace(9.0, 9)))
    await flush(store)
    assert await store.jobs.paces() == {"a.example.com": Learned(pace=Pace(9.0, 9))}


async def test_the_targets_of_a_customer_are_kept(keeper: Keeper) -> None:
    store = await keeper.open()
    for name in ("b.example.com", "a.example.com", "b.example.com"):
        store.jobs.note_domain(ACME, TargetDomain(name))
    store.jobs.note_domain(BETA, TargetDomain("c.example.com"))
    await flush(store)
    assert await (await keeper.open()).history.domains_of(ACME, 10) == ["a.example.com", "b.example.com"]
    assert await (await keeper.open()).history.domains_of(ACME, 1) == ["a.example.com"]
    assert await (await keeper.open()).history.domains_of(ACME, 1, "a.example.com") == ["b.example.com"]
    assert await (await keeper.open()).history.domains_of(ACME, 1, "b.example.com") == []


async def test_what_was_used_adds_up_by_day(keeper: Keeper) -> None:
    store = await keeper.open()
    store.jobs.note_usage(ACME, DayUsage(day=7, accepted=2, success=1))
    store.jobs.note_usage(ACME, DayUsage(day=8, accepted=1))
    store.jobs.note_usage(ACME, DayUsage(day=7, accepted=1, failed=1, cancelled=1, attempts=5))
    store.jobs.note_usage(BETA, DayUsage(day=7, accepted=9))
    await flush(store)
    first = DayUsage(day=7, accepted=3, success=1, failed=1, cancelled=1, attempts=5)
    assert await (await keeper.open()).history.usage_of(ACME, 7) == [first, DayUsage(day=8, accepted=1)]
    assert await (await keeper.open()).history.usage_of(ACME, 8) == [DayUsage(day=8, accepted=1)]
    in_all = await (await keeper.open()).history.most_used(7, 5)
    assert [(each.customer, each.used.accepted, each.used.attempts) for each in in_all] == [
        (BETA, 9, 0),
        (ACME, 4, 5),
    ]
    assert [each.customer for each in await (await keeper.open()).history.most_used(7, 1)] == [BETA]
    assert [each.customer for each in await (await keeper.open()).history.most_used(8, 5)] == [ACME]
