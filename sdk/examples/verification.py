"""Verifying a webhook: strictly, with a reason, and for a time."""

from stand_in import stand_in

from ezthrottle import (
    EZThrottle,
    Step,
    WebhookVerificationError,
    verify_webhook_signature,
    verify_webhook_signature_strict,
)

SECRET = "a_secret_of_16_or_more"

with stand_in() as api, EZThrottle() as client:
    client.create_webhook_secret(SECRET)
    step = Step(client).url(api.url("/charge")).webhooks([{"url": api.url("/webhook")}])
    webhook = api.wait_for_webhook(step.execute()["job_id"])
    client.delete_webhook_secret()

# Strictly: what is not proven is an exception, which a handler answers with 401.
verify_webhook_signature_strict(webhook.body, webhook.signature, SECRET, tolerance=300)
print("strict: valid")
try:
    verify_webhook_signature_strict(webhook.body + b" ", webhook.signature, SECRET)
except WebhookVerificationError as error:
    print("strict, of another body:", error)

# With a reason, for logs.
print("with a reason:", verify_webhook_signature(webhook.body, webhook.signature, SECRET))
print("by another secret:", verify_webhook_signature(webhook.body, webhook.signature, "another_secret_of_16"))
print("unsigned:", verify_webhook_signature(webhook.body, "", SECRET))

# Recent: what somebody recorded is worth nothing later.
then = webhook.signature.partition(",")[0]
old = webhook.signature.replace(then, f"t={int(then[2:]) - 350}")
print("late:", verify_webhook_signature(webhook.body, old, SECRET, tolerance=300)[1])
