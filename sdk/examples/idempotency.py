"""The same job twice: a hash of the request, a new key each time, or a key of your own."""

from stand_in import stand_in

from ezthrottle import EZThrottle, IdempotentStrategy, Step

with stand_in() as api, EZThrottle() as client:

    def twice(strategy: IdempotentStrategy) -> list[str]:
        steps = [Step(client).url(api.url(f"/{strategy.value}")).idempotent_strategy(strategy) for _ in "12"]
        return [step.execute()["job_id"] for step in steps]

    first, second = twice(IdempotentStrategy.HASH)
    print("HASH, one job:", first == second)

    first, second = twice(IdempotentStrategy.UNIQUE)
    print("UNIQUE, one job:", first == second)

    key = f"order-42-{api.url('')}"
    answers = [Step(client).url(api.url("/order")).idempotent_key(key).execute() for _ in "12"]
    print("own key:", [answer["status"] for answer in answers])
