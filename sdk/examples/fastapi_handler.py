"""A FastAPI application that submits jobs, receives their signed webhooks, and tells what came of them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import uvicorn
from fastapi import Depends, FastAPI
from stand_in import stand_in

from ezthrottle import AsyncEZThrottle, Step
from ezthrottle.fastapi import VerifiedWebhook

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SECRET = "a_secret_of_16_or_more"
results: dict[str, Any] = {}  # a database, in production
verified = VerifiedWebhook(SECRET)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncEZThrottle() as client:
        app.state.client, app.state.received = client, asyncio.Event()
        await client.create_webhook_secret(SECRET)
        yield
        await client.delete_webhook_secret()


app = FastAPI(lifespan=lifespan)


@app.post("/webhook")
async def receive(delivery: Annotated[dict[str, Any], Depends(verified)]) -> dict[str, bool]:
    # Deliveries are at least once: the same one again changes nothing here.
    results[delivery["idempotent_key"]] = delivery
    app.state.received.set()
    return {"ok": True}


@app.post("/submit")
async def submit(url: str, webhook: str) -> Mapping[str, Any]:
    step = Step(app.state.client).url(url).webhooks([{"url": webhook, "has_quorum_vote": True}])
    return await step.execute_async()


@app.get("/result/{key}")
async def result(key: str) -> dict[str, Any]:
    return {"found": key in results, "result": results.get(key)}


async def use(own: str, api: str) -> None:
    async with httpx.AsyncClient(base_url=own) as http:
        submitted = await http.post("/submit", params={"url": api, "webhook": f"{own}/webhook"})
        key = submitted.json()["idempotent_key"]
        await asyncio.wait_for(app.state.received.wait(), timeout=30)
        answer = (await http.get(f"/result/{key}")).json()
        print("result:", answer["result"]["status"], answer["result"]["response"]["status_code"])
        forged = await http.post("/webhook", json={"idempotent_key": key, "job_id": "job_1_1"})
        print("forged:", forged.status_code)


async def main() -> None:
    with stand_in() as api, socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        serving = asyncio.create_task(server.serve([listening]))
        await use(f"http://127.0.0.1:{listening.getsockname()[1]}", api.url("/endpoint"))
        server.should_exit = True
        await serving


if __name__ == "__main__":
    asyncio.run(main())
