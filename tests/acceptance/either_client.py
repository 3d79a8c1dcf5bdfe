"""A customer's program, written for the published client: it runs unchanged under that one and under ours.

It reads ``{"base_url", "api_key", "target", "receiver", "port"}`` from stdin, and writes what every action
returned to stdout. It imports nothing but the client and the standard library.
"""

import json
import sys
import warnings
from collections.abc import Callable
from typing import Any

from ezthrottle import (
    EZThrottle,
    EZThrottleError,
    ForwardToEZThrottle,
    IdempotentStrategy,
    Step,
    StepType,
    auto_forward,
)
from ezthrottle.webhook import create_webhook_server

Order = dict[str, Any]


def everything(client: EZThrottle, order: Order) -> Any:
    """Use every builder that a job has."""
    step = (
        Step(client)
        .url(f"{order['target']}/charge?of=7")
        .method("post")
        .headers({"X-Customer": "7", "Content-Type": "application/json"})
        .body('{"amount": 1000, "name": "Zoë"}')
        .metadata({"order_id": "7"})
        .webhooks(
            [
                {"url": f"{order['receiver']}/everything", "has_quorum_vote": True},
                {"url": f"{order['receiver']}/watcher", "has_quorum_vote": False, "regions": ["lax"]},
                {"url": f"{order['receiver']}/second"},
            ]
        )
        .webhook_quorum(2)
        .regions(["lax"])
        .region_policy("strict")
        .execution_mode("race")
        .retry_policy({"max_retries": 5, "max_reroutes": 3, "retry_codes": [429], "reroute_codes": [500]})
        .retry_at(1_000_000_000_000)
        .idempotent_key(f"everything-{order['target']}")
        .description("Charge the customer")
        .response_description("The charge")
    )
    return [step.execute(), step.get_description(), step.get_response_description(), step.execution_trace()]


def arguments(client: EZThrottle, order: Order) -> Any:
    """Submit with the arguments in their places."""
    url, hook = f"{order['target']}/arguments", {"url": f"{order['receiver']}/arguments"}
    return client.submit_job(url, "PUT", {"X-A": "b"}, "text", {"k": "v"}, [hook], 1, ["iad"])


def race(client: EZThrottle, order: Order) -> Any:
    """Race over regions."""
    url = f"{order['target']}/race"
    return Step(client).url(url).regions(["iad", "lax", "ord"]).execution_mode("fanout").execute()


def fallbacks(client: EZThrottle, order: Order) -> Any:
    """Fall back twice, on codes and on anything."""
    second = Step().url(f"{order['target']}/second")
    third = Step().url(f"{order['target']}/third").metadata({"third": "yes"})
    step = Step(client).url(f"{order['target']}/broken").webhooks([{"url": f"{order['receiver']}/fallbacks"}])
    return step.fallback(second, trigger_on_error=[500]).fallback(third, trigger_on_timeout=500).execute()


def chain(client: EZThrottle, order: Order) -> Any:
    """Have the service run what follows."""
    last = Step().url(f"{order['target']}/last").webhooks([{"url": f"{order['receiver']}/chain"}])
    child = Step().url(f"{order['target']}/child").method("POST").on_success(last)
    alert = Step().url(f"{order['target']}/alert")
    return Step(client).url(f"{order['target']}/parent").on_success(child).on_failure(alert, 60_000).execute()


def keys(client: EZThrottle, order: Order) -> Any:
    """Submit the same thing twice, in each of the strategies."""
    url = f"{order['target']}/keys"
    same = [Step(client).url(url).idempotent_strategy(IdempotentStrategy.HASH) for _ in range(2)]
    unique = [Step(client).url(url).idempotent_strategy(IdempotentStrategy.UNIQUE) for _ in range(2)]
    named = [Step(client).url(url).idempotent_key(f"named-{url}") for _ in range(2)]
    return [step.execute() for step in (*same, *unique, *named)]


def local(client: EZThrottle, order: Order) -> Any:
    """Send requests from here."""
    found = []
    for path in ("/local", "/moved", "/missing"):
        response = client.request(f"{order['target']}{path}", "POST", {"X-Local": "1"}, "body")
        found.append([response.status_code, response.ok, response.text, response.headers["Content-Length"]])
    head = client.request(f"{order['target']}/moved-head", "HEAD", {"X-Name": "Zoë"})
    return [*found, [head.status_code, head.ok, head.headers["Location"]]]


def frugal(client: EZThrottle, order: Order) -> Any:
    """Try here first; what works, what can't be helped, what a fallback helps, what is handed over."""

    def step(path: str) -> Step:
        return Step(client).url(f"{order['target']}{path}").type(StepType.FRUGAL).local_timeout(20)

    saved = step("/broken").fallback(step("/second"), trigger_on_error=[500])
    chained = step("/local").on_success(step("/moved").on_success(Step().url(f"{order['target']}/child")))
    handed = step("/flaky").fallback_on_error([429, 500]).idempotent_key(f"flaky-{order['target']}")
    steps = (step("/local"), step("/missing"), saved, chained, handed)
    return [[each.execute(), each.get_execution_history()] for each in steps]


def forward(client: EZThrottle, order: Order) -> Any:
    """Hand over from a function that was there before."""

    @auto_forward(client)
    def charge(order_id: str) -> Any:
        raise ForwardToEZThrottle(
            url=f"{order['target']}/forwarded",
            method="POST",
            headers={"X-Order": order_id},
            body="{}",
            metadata={"order_id": order_id},
            webhooks=[{"url": f"{order['receiver']}/forward"}],
            regions=["iad"],
        )

    @auto_forward(client)
    def fine() -> str:
        return "as ever"

    return [charge("42"), fine()]


def deprecated(client: EZThrottle, order: Order) -> Any:
    """Use the call of before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return client.queue_request(f"{order['target']}/queued", f"{order['receiver']}/deprecated", "POST")


def own_class(_client: EZThrottle, order: Order) -> Any:
    """Have a class of one's own add to every job, and set key and address afterwards."""

    class Marking(EZThrottle):
        def submit_job(self, url: str, **job: Any) -> Any:
            return super().submit_job(url, **{**job, "metadata": {"marked": "yes"}})

    client = Marking("ck_live_cust_nobody_0", order["nobody"], order["nobody"])
    client.api_key, client.tracktags_url = order["api_key"], order["base_url"]
    url = f"{order['target']}/marked"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        queued = client.queue_request(url, "", "POST")
    return [
        queued,
        client.forward_or_fallback(lambda: "not called", url),
        _names_its_case(client.get_webhook_secret),
    ]


def secrets(client: EZThrottle, order: Order) -> Any:
    """Store, look at and delete secrets."""
    found = [_failure(client.get_webhook_secret), client.create_webhook_secret("the first of all secrets")]
    found += [
        client.get_webhook_secret(),
        client.create_webhook_secret("the second secret", "the first secret"),
    ]
    found += [
        client.get_webhook_secret(),
        client.delete_webhook_secret(),
        _failure(client.get_webhook_secret),
        _failure(client.delete_webhook_secret),
    ]
    return [*found, _failure(lambda: client.create_webhook_secret("short"))]


def refused(client: EZThrottle, order: Order) -> Any:
    """Submit what is refused."""
    stranger = EZThrottle("ck_live_cust_nobody_0", order["base_url"], order["base_url"])
    url = f"{order['target']}/refused"
    return [
        _failure(lambda: client.submit_job(url, regions=["mars"])),
        _failure(lambda: stranger.submit_job(url)),
        _failure(lambda: Step(client).execute()),
        _failure(lambda: Step().url(url).execute()),
        client.forward_or_fallback(lambda: "not called", url),
    ]


def away(_client: EZThrottle, order: Order) -> Any:
    """Do without the service."""
    nobody = EZThrottle(order["api_key"], order["nobody"], order["nobody"])
    return nobody.forward_or_fallback(lambda: "at home", f"{order['target']}/local")


def receive(client: EZThrottle, order: Order) -> Any:
    """Receive a result in this program."""
    called: list[str] = []
    server = create_webhook_server(callback=lambda job_id, _data: called.append(job_id), port=order["port"])
    server.start()
    step = Step(client).url(f"{order['target']}/received").webhooks([{"url": server.get_url()}])
    job_id = step.execute()["job_id"]
    return server.wait_for_result(job_id, timeout=30)


def _failure(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except EZThrottleError:
        return "EZThrottleError"
    except ValueError:
        return "ValueError"


def _names_its_case(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except EZThrottleError as error:
        return "No webhook secrets configured" in str(error)


ACTIONS: list[Callable[[EZThrottle, Order], Any]] = [
    everything,
    arguments,
    race,
    fallbacks,
    chain,
    keys,
    local,
    frugal,
    forward,
    deprecated,
    own_class,
    secrets,
    refused,
    away,
    receive,
]


def main() -> None:
    """Do all of it."""
    order = json.load(sys.stdin)
    client = EZThrottle(order["api_key"], tracktags_url=order["base_url"], ezthrottle_url=order["nobody"])
    json.dump({action.__name__: action(client, order) for action in ACTIONS}, sys.stdout)


if __name__ == "__main__":
    main()
