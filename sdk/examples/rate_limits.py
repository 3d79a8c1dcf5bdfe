"""A target's pace: two requests a second until its answers name another one."""

from __future__ import annotations

from typing import Any

from stand_in import stand_in

from ezthrottle import EZThrottle


def pace_of(client: EZThrottle, host: str) -> dict[str, Any]:
    """Look through the targets that were called so far."""
    page = client.domains()
    while page["next_cursor"] and page["domains"][-1]["domain"] < host:
        page = client.domains(cursor=page["next_cursor"])
    return next(domain["pace"] or {} for domain in page["domains"] if domain["domain"] == host)


# The stand-in answers as your API may: X-EZTHROTTLE-RPS: 50 and X-EZTHROTTLE-MAX-CONCURRENT: 10.
with stand_in() as api, EZThrottle() as client:
    client.wait(client.submit_job(api.url("/first"))["job_id"], timeout=30)
    pace = pace_of(client, api.url("").partition("//")[2])
    print("pace:", pace["rps"], "a second,", pace["max_concurrent"], "at once, set by the", pace["set_by"])

    answers = client.submit_many([{"url": api.url(f"/orders/{number}")} for number in range(50)])
    jobs = [client.wait(answer["job_id"], timeout=30) for answer in answers]
    # At the pace of before they would have taken 25 seconds.
    print("done:", sum(job["state"] == "success" for job in jobs))
