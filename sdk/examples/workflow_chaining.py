"""Jobs that follow a job: what comes after a success, and after a failure."""

from stand_in import stand_in

from ezthrottle import EZThrottle, Step

with stand_in() as api, EZThrottle() as client:
    analytics = Step(client).url(api.url("/analytics"))
    notification = Step(client).url(api.url("/notify")).method("POST").on_success(analytics)
    alert = Step(client).url(api.url("/alert"))

    Step(client).url(api.url("/charge")).on_success(notification).on_failure(alert).execute()
    api.wait_for_request("/analytics")
    print("after a success:", api.asked["/notify"], api.asked["/analytics"], api.asked["/alert"])

    Step(client).url(api.url("/status/400")).on_success(notification).on_failure(alert).execute()
    api.wait_for_request("/alert")
    print("after a failure:", api.asked["/notify"], api.asked["/analytics"], api.asked["/alert"])
