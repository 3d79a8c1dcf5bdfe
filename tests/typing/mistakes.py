"""Mistakes as people make them, one in each line that says so. Checked and never run."""

from typing import Literal

from ezthrottle import AsyncEZThrottle, EZThrottle, Step, auto_forward

client = EZThrottle()
step = Step(client).url("https://api.example.com")

client.wait("job_1_2")["stat"]  # mistake
client.wait("job_1_2")["result"]["respnse"]  # mistake
state: Literal["succeeded"] = client.wait("job_1_2")["state"]  # mistake
client.usage()["open"]  # mistake
client.list_jobs(state="done")  # mistake
client.submit_job("https://api.example.com", execution_mode="parallel")  # mistake
client.submit_job("https://api.example.com", webhooks=[{"url": "https://a", "quorum": True}])  # mistake
client.submit_job("https://api.example.com", retry_policy={"max_retry": 3})  # mistake
client.submit_job("https://api.example.com", prioritty=9)  # mistake
client.submit_job("https://api.example.com")["jobid"]  # mistake
client.wait(client.submit_job("https://api.example.com"))  # mistake
step.regions("iad")  # mistake
step.url(5)  # mistake
step.region_policy("strickt")  # mistake
step.hedge(quantile="0.9")  # mistake
step.guarantee("exactly_once")  # mistake
step.webhooks([{"has_quorum_vote": True}])  # mistake
step.execute()["job"]  # mistake
step.body({"amount": 1000})  # mistake
Step(step)  # mistake


@auto_forward(client)
def charge(order: str, amount: int = 1) -> dict[str, int]:
    """Have the signature kept."""
    return {order: amount}


charge(42)  # mistake
charge("order_42", amout=3)  # mistake


async def main() -> None:
    """Forget an await."""
    asynchronous = AsyncEZThrottle()
    asynchronous.get_job("job_1_2")["state"]  # mistake
    (await asynchronous.wait("job_1_2"))["delivry"]  # mistake
