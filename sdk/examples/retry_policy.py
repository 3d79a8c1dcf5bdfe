"""Which codes are tried again in the same region, and which in another one."""

from stand_in import stand_in

from ezthrottle import EZThrottle, Step
from ezthrottle.types import RetryPolicy

with stand_in() as api, EZThrottle() as client:
    policy: RetryPolicy = {
        "max_retries": 5,
        "max_reroutes": 3,
        "retry_codes": [429, 503],  # again in the same region
        "reroute_codes": [500, 502, 504],  # again in another one
    }
    for path in ("/flaky/429/order", "/flaky/500/order"):
        answer = Step(client).url(api.url(path)).regions(["iad"]).retry_policy(policy).execute()
        job = client.wait(answer["job_id"], timeout=30)
        print(
            path, job["state"], "in", job["result"]["region"], "after", job["result"]["attempts"], "attempts"
        )
