"""Many jobs from asyncio code: several at once, in batches, and followed to their ends."""

from __future__ import annotations

import asyncio

from stand_in import StandIn, stand_in

from ezthrottle import AsyncEZThrottle, InvalidJobError, Step


async def submit(client: AsyncEZThrottle, api: StandIn, order: int, region: str = "iad") -> str:
    step = Step(client).url(api.url("/process")).method("POST").body(f"order {order}").regions([region])
    answer = await step.execute_async()
    return str(answer["job_id"])


async def main() -> None:
    with stand_in() as api:
        async with AsyncEZThrottle() as client:
            job_ids = await asyncio.gather(*(submit(client, api, order) for order in range(3)))
            jobs = await asyncio.gather(*(client.wait(job_id, timeout=30) for job_id in job_ids))
            print("at once:", [job["state"] for job in jobs])

            mixed = (submit(client, api, 7), submit(client, api, 8, region="mars"))
            results = await asyncio.gather(*mixed, return_exceptions=True)
            print("refused:", [isinstance(result, InvalidJobError) for result in results])

            orders = ({"url": api.url(f"/orders/{number}")} for number in range(500))
            answers = await client.submit_many(orders, progress=lambda done, _: print("submitted", done))
            print("in batches:", len(answers), "jobs,", len({answer["job_id"] for answer in answers}), "ids")


asyncio.run(main())
