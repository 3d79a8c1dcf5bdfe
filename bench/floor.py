"""The raw floor: one asyncio process that makes the two HTTP calls and the signature, and nothing else.

``python -m bench.floor TARGET_URL RECEIVER_URL JOBS IN_FLIGHT`` prints one JSON line.
"""

import asyncio
import hashlib
import hmac
import json
import sys
import time

import aiohttp
import uvloop

SECRET = b"a secret of thirty-two characters"


async def one_job(session: aiohttp.ClientSession, number: int, target: str, receiver: str) -> None:
    """Call the target, sign the result, call the receiver."""
    async with session.post(target, data=b'{"amount":1000}') as response:
        body = (await response.read()).decode()
    result = json.dumps(
        {"job_id": f"floor_{number}", "status": "success", "response": {"body": body}}
    ).encode()
    now = str(int(time.time()))
    signature = hmac.new(SECRET, f"{now}.".encode() + result, hashlib.sha256).hexdigest()
    headers = {"X-EZThrottle-Signature": f"t={now},v1={signature}", "Content-Type": "application/json"}
    async with session.post(receiver, data=result, headers=headers) as response:
        await response.read()


async def main(target: str, receiver: str, jobs: int, in_flight: int) -> None:
    """Run the jobs, so many at once."""
    numbers = iter(range(jobs))
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def work() -> None:
            for number in numbers:
                await one_job(session, number, target, receiver)

        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(work() for _ in range(in_flight)))
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
    print(json.dumps({"jobs": jobs, "seconds": took, "cpu_s": cpu}))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
