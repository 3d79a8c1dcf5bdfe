"""Several regions at once: the first success wins, the others are cancelled."""

from stand_in import stand_in

from ezthrottle import EZThrottle, Step

with stand_in() as api, EZThrottle() as client:
    # A target's pace is known from its answers: with room for several at once they all run.
    client.wait(client.submit_job(api.url("/warm-up"))["job_id"])
    answer = (
        Step(client)
        .url(api.url("/delay/0.2"))
        .regions(["iad", "lax", "ord"])
        .region_policy("fallback")
        .execution_mode("race")
        .webhooks([{"url": api.url("/webhook")}])
        .execute()
    )
    print("status:", answer["status"])
    delivery = api.wait_for_webhook(answer["job_id"]).data
    print("won by a region:", delivery["region"] in {"iad", "lax", "ord"}, delivery["status"])
    print("deliveries:", sum(webhook.data["job_id"] == answer["job_id"] for webhook in api.webhooks))
