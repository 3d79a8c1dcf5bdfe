"""FRUGAL and PERFORMANCE steps in one chain, in both directions and three deep.

The client's webhook server runs what is FRUGAL once its parent has ended. A program that was stopped runs
none of it: what must happen in any case is for a PERFORMANCE step.
"""

from stand_in import stand_in

from ezthrottle import EZThrottle, Step, StepType

with stand_in() as api, EZThrottle(start_webhook_server=True, webhook_port=0) as client:

    def step(path: str, kind: StepType) -> Step:
        return Step(client).url(api.url(path)).type(kind)

    # FRUGAL, then PERFORMANCE: the call is cheap, and its notification raced by the service.
    email = step("/email", StepType.PERFORMANCE).regions(["iad", "lax", "ord"])
    email.webhooks([{"url": api.url("/webhook")}])
    result = step("/completions", StepType.FRUGAL).fallback_on_error([429, 500]).on_success(email).execute()
    print("here:", result["executed_locally"])
    api.wait_for_request("/webhook")
    print("then there: 1 email,", api.webhooks[0].data["status"])

    # PERFORMANCE, then FRUGAL: the payment is raced, and its analytics sent from here.
    payment = step("/charge", StepType.PERFORMANCE).regions(["iad", "lax"])
    answer = payment.on_success(step("/track", StepType.FRUGAL)).execute()
    api.wait_for_request("/track")
    print("there:", client.wait(answer["job_id"])["state"], "- then here:", api.asked["/track"])

    # Three deep: here, with a fallback that is here as well; there; here again.
    last = step("/analytics", StepType.FRUGAL)
    middle = step("/critical", StepType.PERFORMANCE).regions(["iad", "lax", "ord"]).on_success(last)
    first = step("/status/500", StepType.FRUGAL).fallback_on_error([429, 500])
    first.fallback(step("/backup", StepType.FRUGAL), trigger_on_error=[500])
    result = first.on_success(middle).on_failure(step("/alert", StepType.FRUGAL)).execute()
    print("the fallback here:", result["status"])
    api.wait_for_request("/analytics")
    print("three deep:", api.asked["/backup"], "here,", "then there, then", api.asked["/analytics"], "here")
    print("no alert:", api.asked["/alert"])
