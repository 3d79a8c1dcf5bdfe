"""What people write: no type checker has anything to say of it. Checked and never run."""

import asyncio
from datetime import UTC, datetime, timedelta

from ezthrottle import AsyncEZThrottle, EZThrottle, IdempotentStrategy, Step, StepType, auto_forward
from ezthrottle.types import JobState, Webhook

client = EZThrottle(api_key="ck_live_cust_acme_secret")
hook: Webhook = {"url": "https://app.example.com/hook", "has_quorum_vote": True}
step = (
    Step(client)
    .url("https://api.example.com")
    .method("POST")
    .type(StepType.FRUGAL)
    .headers({"X-A": "1"})
    .json({"amount": 1000})
    .webhooks([hook, {"url": "https://b.example.com", "regions": ["iad"]}])
    .regions(("iad", "lax"))
    .region_policy("strict")
    .execution_mode("fanout")
    .hedge(quantile=0.9, budget=0.2)
    .retry_policy({"max_retries": 5, "retry_codes": [429]})
    .idempotent_strategy(IdempotentStrategy.UNIQUE)
    .guarantee("at_least_once")
    .at(datetime.now(UTC) + timedelta(hours=1))
    .fallback(Step().url("https://b.example.com").bytes(b"\x00"), trigger_on_error=[500])
    .on_success(Step().url("https://c.example.com").delay(5))
)
again: Step = step.copy()
result = again.execute()
if result.get("executed_locally"):
    print(result.get("status_code"), result.get("response"))
else:
    print(result["job_id"], result["status"])

answer = client.submit_job(
    "https://api.example.com", "POST", body=b"\xff", webhooks=[hook], execution_mode="race"
)
job = client.wait(answer["job_id"], timeout=30)
state: JobState = job["state"]
response = job["result"]["response"]
if job["state"] == "success" and response is not None:
    print(response["status_code"], response["body"])
for listed in client.list_jobs(state=["failed", "cancelled"], domain="api.example.com")["jobs"]:
    print(listed["job_id"], listed["ended_at"])
print(client.usage()["days"][0]["attempts"], client.get_webhook_secret()["has_secondary"])
taken: int = client.cancel_jobs("queued", dry_run=True)["jobs"]
for event in client.stream(answer["job_id"]):
    print(event.name, event.data)


@auto_forward(client, webhooks=[hook], forward_timeouts=True)
def charge(order: str, amount: int = 1) -> dict[str, int]:
    """Have the signature kept."""
    return {order: amount}


charged = charge("order_42", amount=3)
print(charged.get("job_id"))


async def main() -> None:
    """Do the same in coroutines."""
    async with AsyncEZThrottle() as asynchronous:
        submitted = await asynchronous.submit_job("https://api.example.com")
        done = await asynchronous.wait(submitted["job_id"])
        print(done["state"], (await asynchronous.domains())["domains"])
        async for event in asynchronous.stream(submitted["job_id"]):
            print(event.ends)
        await again.execute_async()


asyncio.run(main())
