"""Another address where the first one fails, and yet another after that."""

from stand_in import stand_in

from ezthrottle import EZThrottle, Step

with stand_in() as api, EZThrottle() as client:
    second = Step().url(api.url("/status/503"))
    third = Step().url(api.url("/works"))
    answer = (
        Step(client)
        .url(api.url("/status/500"))
        .fallback(second, trigger_on_error=[500, 502])
        .fallback(third, trigger_on_error=[503])
        .webhooks([{"url": api.url("/webhook")}])
        .execute()
    )
    delivery = api.wait_for_webhook(answer["job_id"]).data
    print("one job:", delivery["job_id"] == answer["job_id"])
    print("won by:", delivery["step"], delivery["response"]["status_code"])
