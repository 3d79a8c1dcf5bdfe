"""One result to several receivers, of which two must accept it."""

import time

from stand_in import stand_in

from ezthrottle import EZThrottle, Step

with stand_in() as api, EZThrottle() as client:
    answer = (
        Step(client)
        .url(api.url("/charge"))
        .method("POST")
        .webhooks(
            [
                {"url": api.url("/webhook/payments"), "has_quorum_vote": True},
                {"url": api.url("/webhook/notify"), "has_quorum_vote": True},
                {"url": api.url("/webhook/backup"), "regions": ["iad", "lax"], "has_quorum_vote": True},
                {"url": api.url("/webhook/analytics/broken"), "has_quorum_vote": False},
            ]
        )
        .webhook_quorum(2)
        .execute()
    )
    for receiver in ("payments", "notify", "backup"):
        print(receiver, api.wait_for_webhook(answer["job_id"], f"/webhook/{receiver}").data["status"])
    while (delivery := client.get_job(answer["job_id"])["delivery"]) == "pending":
        time.sleep(0.1)
    print("delivery:", delivery)
