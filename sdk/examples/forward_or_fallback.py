"""The service as a layer, and not as a single point of failure: without it the request is sent from here."""

import socket
from typing import Any

from stand_in import stand_in

from ezthrottle import EZThrottle, InvalidJobError

with stand_in() as api, socket.socket() as nobody, EZThrottle() as client:

    def charge(client: EZThrottle, **more: Any) -> Any:
        url = api.url("/charge")
        return client.forward_or_fallback(
            lambda: client.request(url, "POST", body="{}"), url, "POST", body="{}", **more
        )

    answer = charge(client, webhooks=[{"url": api.url("/webhook")}])
    print("there:", answer["status"], "-", api.wait_for_webhook(answer["job_id"]).data["status"])

    nobody.bind(("127.0.0.1", 0))  # an address at which nothing listens
    away = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    with EZThrottle(base_url=away, max_attempts=2) as lonely:
        print("away:", charge(lonely).status_code)

    try:
        charge(client, regions=["mars"])
    except InvalidJobError as error:
        print("refused, which is no case for the fallback:", error.errors[0]["field"])
