"""What a customer's program does with the published client: run in an environment of that client's own.

It reads one JSON object from stdin, ``{"action", "base_url", "api_key", …}``, and writes its result to
stdout. Nothing of the client is changed but its two base URLs.
"""

import base64
import json
import sys
from collections.abc import Callable
from typing import Any

import requests

from ezthrottle import (
    EZThrottle,
    EZThrottleError,
    ForwardToEZThrottle,
    IdempotentStrategy,
    Step,
    StepType,
    WebhookVerificationError,
    auto_forward,
    try_verify_with_secrets,
    verify_webhook_signature,
    verify_webhook_signature_strict,
)

Order = dict[str, Any]


def submit(client: EZThrottle, order: Order) -> Any:
    """Submit one step."""
    step = (
        Step(client)
        .url(order["url"])
        .method("POST")
        .headers({"X-Customer": "published"})
        .body('{"amount": 1000}')
        .metadata({"order_id": "7"})
        .type(StepType.PERFORMANCE)
        .webhooks([{"url": order["webhook"], "has_quorum_vote": True}])
    )
    return step.execute()


def duplicate(client: EZThrottle, order: Order) -> Any:
    """Submit the same thing twice, then with keys of its own."""
    same = [Step(client).url(order["url"]).execute() for _ in range(2)]
    unique = Step(client).url(order["url"]).idempotent_strategy(IdempotentStrategy.UNIQUE)
    named = [Step(client).url(order["url"]).idempotent_key(order["key"]) for _ in range(2)]
    return {
        "same": same,
        "unique": [unique.execute() for _ in range(2)],
        "named": [step.execute() for step in named],
    }


def race(client: EZThrottle, order: Order) -> Any:
    """Race over regions."""
    step = (
        Step(client)
        .url(order["url"])
        .type(StepType.PERFORMANCE)
        .regions(order["regions"])
        .region_policy("fallback")
        .execution_mode("race")
        .webhooks([{"url": order["webhook"]}])
    )
    return step.execute()


def retry(client: EZThrottle, order: Order) -> Any:
    """Submit with a retry policy as the README writes it."""
    policy = {
        "max_retries": 5,
        "max_reroutes": 3,
        "retry_codes": [429, 503],
        "reroute_codes": [500, 502, 504],
    }
    return Step(client).url(order["url"]).retry_policy(policy).execute()


def fallback(client: EZThrottle, order: Order) -> Any:
    """Fall back from a failing API to a backup, and from that to another one."""
    backup = Step().url(order["backup"]).method("POST")
    last = Step().url(order["last"]).method("POST")
    step = Step(client).url(order["url"]).method("POST").type(StepType.PERFORMANCE)
    step = step.webhooks([{"url": order["webhook"]}])
    return step.fallback(backup, trigger_on_error=[500]).fallback(last, trigger_on_error=[503]).execute()


def workflow(client: EZThrottle, order: Order) -> Any:
    """Charge, and send a receipt when that went well."""
    receipt = Step().url(order["receipt"]).method("POST").webhooks([{"url": order["webhook"]}])
    alert = Step().url(order["alert"]).method("POST")
    step = Step(client).url(order["url"]).method("POST").type(StepType.PERFORMANCE)
    return step.on_success(receipt).on_failure(alert).execute()


def forward(client: EZThrottle, order: Order) -> Any:
    """Run a legacy function that hands over what it can't do itself."""

    @auto_forward(client)
    def process_payment(order_id: str) -> Any:
        response = requests.post(order["url"], json={"amount": 1000}, timeout=20)
        if response.status_code == requests.codes.too_many_requests:
            raise ForwardToEZThrottle(
                url=order["url"],
                method="POST",
                headers={"X-Order": order_id},
                body='{"amount": 1000}',
                idempotent_key=f"order_{order_id}",
                metadata={"order_id": order_id},
                webhooks=[{"url": order["webhook"]}],
            )
        return response.json()

    return process_payment(order["order_id"])


def frugal(client: EZThrottle, order: Order) -> Any:
    """Try at home first, and hand over on an error."""
    return Step(client).url(order["url"]).type(StepType.FRUGAL).fallback_on_error([429, 500]).execute()


def legacy(client: EZThrottle, order: Order) -> Any:
    """Use the deprecated call."""
    return client.queue_request(url=order["url"], webhook_url=order["webhook"], method="POST")


def refused(client: EZThrottle, order: Order) -> Any:
    """Submit something wrong."""
    try:
        return Step(client).url(order["url"]).regions(["mars"]).execute()
    except EZThrottleError as error:
        return {"error": str(error)}


def secrets(client: EZThrottle, order: Order) -> Any:
    """Walk through the life of webhook secrets."""
    found: Order = {"created": client.create_webhook_secret(order["old"])}
    found["shown"] = client.get_webhook_secret()
    found["rotated"] = client.rotate_webhook_secret(order["new"])
    found["shown after rotation"] = client.get_webhook_secret()
    found["both"] = client.create_webhook_secret(order["new"], order["old"])
    found["shown with both"] = client.get_webhook_secret()
    found["deleted"] = client.delete_webhook_secret()
    try:
        found["shown at last"] = client.get_webhook_secret()
    except EZThrottleError as error:
        found["error"] = str(error)
    return found


def store_secrets(client: EZThrottle, order: Order) -> Any:
    """Create secrets."""
    return client.create_webhook_secret(order["primary"], order.get("secondary"))


def verify(_client: EZThrottle, order: Order) -> Any:
    """Verify what a receiver recorded."""
    payload, header = base64.b64decode(order["payload"]), order["signature"]
    found: Order = {secret: verify_webhook_signature(payload, header, secret) for secret in order["secrets"]}
    found["either"] = try_verify_with_secrets(payload, header, *order["secrets"])
    try:
        verify_webhook_signature_strict(payload + b" ", header, order["secrets"][0])
    except WebhookVerificationError as error:
        found["tampered"] = str(error)
    return found


def judge(_client: EZThrottle, order: Order) -> Any:
    """Say of each webhook whether it is accepted: by the plain, the strict and the two-secret function."""
    return [accepted_by(found, order["secret"]) for found in order["webhooks"]]


def accepted_by(found: Order, secret: str) -> list[bool]:
    """Ask each of the functions."""
    payload, header = base64.b64decode(found["payload"]), found["signature"]
    plain, _ = verify_webhook_signature(payload, header, secret)
    either, _ = try_verify_with_secrets(payload, header, secret + "2", secret)
    try:
        verify_webhook_signature_strict(payload, header, secret)
    except WebhookVerificationError:
        return [plain, False, either]
    return [plain, True, either]


ACTIONS: dict[str, Callable[[EZThrottle, Order], Any]] = {
    action.__name__: action
    for action in (
        submit,
        duplicate,
        race,
        retry,
        fallback,
        workflow,
        forward,
        frugal,
        legacy,
        refused,
        secrets,
        store_secrets,
        verify,
        judge,
    )
}


def main() -> None:
    """Do what stdin asks for."""
    order = json.load(sys.stdin)
    base_url = order["base_url"]
    client = EZThrottle(order["api_key"], tracktags_url=base_url, ezthrottle_url=base_url)
    json.dump(ACTIONS[order["action"]](client, order), sys.stdout)


if __name__ == "__main__":
    main()
