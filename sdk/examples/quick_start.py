"""Submit a job, wait for its end, and read its result."""

from stand_in import stand_in

from ezthrottle import EZThrottle, Step, StepType

with stand_in() as api, EZThrottle() as client:
    answer = (
        Step(client)
        .url(api.url("/charge"))
        .method("POST")
        .body('{"amount": 1000}')
        .type(StepType.PERFORMANCE)
        .webhooks([{"url": api.url("/webhook")}])
        .idempotent_key(f"order-42-{api.url('')}")
        .execute()
    )
    print("job", answer["job_id"], answer["status"])
    job = client.wait(answer["job_id"], timeout=30)
    response = job["result"]["response"]
    print("ended:", job["state"], response and response["status_code"])
    print("webhook:", api.wait_for_webhook(answer["job_id"]).data["status"])
