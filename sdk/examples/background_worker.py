"""A worker that submits orders from a queue while the program does other things."""

from __future__ import annotations

import asyncio

from stand_in import StandIn, stand_in

from ezthrottle import AsyncEZThrottle, EZThrottleError, Step


async def work(queue: asyncio.Queue[int], client: AsyncEZThrottle, api: StandIn) -> None:
    while True:
        order = await queue.get()
        try:
            step = Step(client).url(api.url(f"/orders/{order}")).method("POST")
            step.webhooks([{"url": api.url("/webhook")}]).idempotent_key(f"order-{order}-{api.url('')}")
            # An order that cannot be meant is refused, and the worker goes on to the next.
            answer = await step.regions(["iad"] if order else ["mars"]).execute_async()
            print("order", order, answer["status"])
        except EZThrottleError as error:
            print("order", order, "failed:", type(error).__name__)
        finally:
            queue.task_done()


async def main() -> None:
    with stand_in() as api:
        async with AsyncEZThrottle() as client:
            queue = asyncio.Queue[int]()
            worker = asyncio.create_task(work(queue, client, api))
            for order in (1, 0, 2):
                await queue.put(order)
            await queue.join()
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)

        await asyncio.to_thread(api.wait_for_request, "/webhook", 2)
        print("results:", sorted(webhook.data["status"] for webhook in api.webhooks))


asyncio.run(main())
