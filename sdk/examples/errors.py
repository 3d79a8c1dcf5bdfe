"""Errors, by what can be done about them."""

from stand_in import stand_in

from ezthrottle import (
    AuthenticationError,
    BatchError,
    ConflictError,
    EZThrottle,
    InvalidJobError,
    NotFoundError,
)

with stand_in() as api, EZThrottle() as client:
    try:
        client.submit_job(api.url("/charge"), priority=11)
    except InvalidJobError as error:
        print("correct the call:", sorted(each["field"] for each in error.errors))

    try:
        client.submit_many([{"url": api.url("/one")}, {"url": "ftp://two.example.com"}])
    except BatchError as error:
        print("look at what was taken:", [type(answer).__name__ for answer in error.answers])

    slow = client.submit_job(api.url("/delay/1"))["job_id"]
    try:
        client.wait(slow, timeout=0)
    except TimeoutError:  # ezthrottle.TimeoutError is the built-in one as well
        print("wait longer:", client.wait(slow, timeout=30)["state"])

    try:
        client.cancel(slow)
    except ConflictError as error:
        print("too late:", error.status_code)

    try:
        client.get_job("job_1_2")
    except NotFoundError as error:
        print("not ours:", error.status_code)

    client.api_key = "ck_live_cust_nobody_0"
    try:
        client.submit_job(api.url("/charge"))
    except AuthenticationError as error:
        print("correct the key:", error.status_code)
