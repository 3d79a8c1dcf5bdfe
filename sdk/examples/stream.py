"""What happens to a job, as it happens."""

import asyncio

from stand_in import stand_in

from ezthrottle import AsyncEZThrottle, EZThrottle, Step

with stand_in() as api:
    with EZThrottle() as client:
        answer = Step(client).url(api.url("/delay/0.3")).execute()
        for event in client.stream(answer["job_id"], timeout=30):
            print(event.name)

    async def follow() -> None:
        async with AsyncEZThrottle() as client:
            # Of a job that has ended the stream tells the whole story at once.
            names = [event.name async for event in client.stream(answer["job_id"], timeout=30)]
            print("again:", names[-1])

    asyncio.run(follow())
