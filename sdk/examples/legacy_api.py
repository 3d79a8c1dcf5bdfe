"""A program for ezthrottle 1.3.0: it runs as it is, once it is told where the service is."""

import os
import warnings

from stand_in import stand_in

from ezthrottle import EZThrottle

SERVICE = os.environ.get("EZTHROTTLE_URL", "http://127.0.0.1:8080")

with stand_in() as api:
    # What the published client connected to is called; its other address was only named in the call.
    client = EZThrottle(os.environ["EZTHROTTLE_API_KEY"], tracktags_url=SERVICE, ezthrottle_url="http://e")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        answer = client.queue_request(
            url=api.url("/legacy"),
            webhook_url=api.url("/webhook"),  # one, where submit_job() and Step take several
            method="POST",
        )
    print("queued:", answer["status"], "-", warned[0].category.__name__)
    print("webhook:", api.wait_for_webhook(answer["job_id"]).data["status"])

    job = client.queue_and_wait(api.url("/waited-for"), api.url("/webhook"), timeout=30)
    print("waited for:", job["state"])  # 1.3.0 always ended in its TimeoutError here

    response = client.request(api.url("/direct"), "POST", body="{}")
    print("past the service:", response.ok, response.json()["path"])
    client.close()
