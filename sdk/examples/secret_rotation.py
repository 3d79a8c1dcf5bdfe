"""Signed webhooks, and a new secret without a delivery lost."""

from stand_in import Webhook, stand_in

from ezthrottle import EZThrottle, Step, try_verify_with_secrets, verify_webhook_signature

OLD, NEW = "the_first_secret_of_16", "the_next_secret_of_16"

with stand_in() as api, EZThrottle() as client:

    def delivery(path: str) -> Webhook:
        step = Step(client).url(api.url(path)).webhooks([{"url": api.url("/webhook")}])
        return api.wait_for_webhook(step.execute()["job_id"])

    client.create_webhook_secret(OLD)
    print("stored:", client.get_webhook_secret()["primary_secret"])
    signed = delivery("/before")
    print("before:", verify_webhook_signature(signed.body, signed.signature, OLD))

    client.rotate_webhook_secret(NEW)
    signed = delivery("/during")
    print(
        "during, by a receiver that knows the old one:",
        verify_webhook_signature(signed.body, signed.signature, OLD),
    )
    print("during, by one that knows both:", try_verify_with_secrets(signed.body, signed.signature, NEW, OLD))

    client.create_webhook_secret(NEW)
    signed = delivery("/after")
    print("after, by the old one:", verify_webhook_signature(signed.body, signed.signature, OLD))
    print("after, by the new one:", verify_webhook_signature(signed.body, signed.signature, NEW))
    client.delete_webhook_secret()
