"""FRUGAL: send it from here, and hand it to the service only where that fails."""

from stand_in import stand_in

from ezthrottle import EZThrottle, Step, StepType

with stand_in() as api, EZThrottle() as client:

    def frugal(path: str) -> Step:
        return Step(client).url(api.url(path)).type(StepType.FRUGAL).fallback_on_error([429, 500, 503])

    here = frugal("/customer").description("Fetch the customer")
    result = here.execute()
    print("here:", result["executed_locally"], result["status_code"])
    print(here.execution_trace())

    refused = frugal("/status/404").execute()
    print("no case for the service:", refused["status"], refused["error"])

    queued = frugal("/flaky/429/customer").execute()
    print("handed over:", queued["status"])
    print("there:", client.wait(queued["job_id"], timeout=30)["state"])
