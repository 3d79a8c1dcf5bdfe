"""``ezthrottle jobs``: submit, look at, follow, cancel and replay jobs of a running service."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.cli.client import (
    DEFAULT_URL,
    REFUSED,
    USAGE_ERROR,
    ApiKey,
    AsJson,
    Cursor,
    Limit,
    Url,
    call,
    given,
    read_when,
    refuse,
    service,
    show,
    table,
    tell,
    tell_of_more,
    when,
)

SILENT_MOST_S = 45.0
"""Three times the service's own keep-alive."""
WAIT_MOST_S = 60.0


MANY_A_CALL = 500
"""Jobs that one call cancels or replays: two seconds at the usual pace."""

jobs = typer.Typer(help="Jobs of a running service.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(help="The job's id.")]
Wait = Annotated[float, typer.Option(help="Seconds to wait for the job's end, at most 60.", min=0, max=60)]


OneOrFilters = Annotated[str, typer.Argument(help="One job's id; leave it out to choose by filters.")]
State = Annotated[
    str, typer.Option(help="scheduled, queued, running, success, failed, cancelled; several with commas.")
]
Domain = Annotated[str, typer.Option(help="Target host, with its port unless that is 443, or a URL.")]
Delivery = Annotated[
    str, typer.Option(help="none, pending, quorum_met, delivered, failed; several with commas.")
]
Code = Annotated[str, typer.Option(help="Why it failed: status, timeout, deadline, cancelled, …")]
Since = Annotated[str, typer.Option(help="Accepted then or later: ISO 8601 or Unix ms.")]
Until = Annotated[str, typer.Option(help="Accepted before then: ISO 8601 or Unix ms.")]
Key = Annotated[str, typer.Option("--idempotent-key", "--key", help="Its idempotency key.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count them.")]
OfAll = Annotated[bool, typer.Option("--all", help="Every customer's: an operator's.")]
Whosever = Annotated[bool, typer.Option("--all", help="Whosever job it is: an operator's.")]
Customer = Annotated[str, typer.Option(help="Of all customers' only this one's: an operator's.")]


@jobs.command("submit")
def submit(
    target: Annotated[str, typer.Argument(help="The URL to call.")] = "",
    *,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    method: Annotated[str, typer.Option("--method", "-X", help="GET if it is left out.")] = "",
    header: Annotated[list[str] | None, typer.Option("--header", "-H", help="'Name: value'.")] = None,
    data: Annotated[str, typer.Option("--data", "-d", help="The body; @FILE reads a file.")] = "",
    region: Annotated[list[str] | None, typer.Option("--region", help="Where it may run.")] = None,
    webhook: Annotated[list[str] | None, typer.Option("--webhook", help="Who is told of the result.")] = None,
    key: Annotated[str, typer.Option("--idempotent-key", "--key", help="Its idempotency key.")] = "",
    file: Annotated[str, typer.Option("--file", help="The whole job as JSON; - reads the input.")] = "",
    wait: Wait = 0.0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the job's id alone.")] = False,
    as_json: AsJson = False,
) -> None:
    """Submit a job: by options, or whole from a file whose fields the options override."""
    job = _from_file(file) | given(
        {
            "url": target,
            "method": method,
            "headers": dict(_header(line) for line in header or ()),
            "body": _text(data),
            "regions": region,
            "webhooks": [{"url": receiver} for receiver in webhook or ()],
            "idempotent_key": key,
        }
    )
    _check_url(job)
    taken = call("POST", url, "/jobs", api_key, body=job)
    _say_warnings(taken)
    if wait:
        _show_ended(_get(url, api_key, _path(taken["job_id"]), wait), wait, as_json=as_json)
    else:
        _show_taken(taken, quiet=quiet, as_json=as_json)


def _check_url(job: dict[str, Any]) -> None:
    if "url" not in job:
        refuse("name the URL to call, or a --file with a job in it", USAGE_ERROR)


def _say_warnings(taken: dict[str, Any]) -> None:
    for warning in _warnings(taken):
        typer.echo(f"warning: {warning}", err=True)


def _show_ended(job: dict[str, Any], wait_s: float, *, as_json: bool) -> None:
    """Show a job that was waited for; what is no success is told by the exit code, too."""
    _show_job(job, as_json=as_json)
    if job["state"] != "success":
        _say_if_unfinished(job, wait_s)
        raise typer.Exit(REFUSED)


def _show_taken(taken: dict[str, Any], *, quiet: bool, as_json: bool) -> None:
    if quiet:
        typer.echo(taken["job_id"])
    elif as_json:
        show(taken)
    else:
        columns = ("job_id", "status", "position", "starts in s")
        table(columns, [[taken.get(n) for n in (*columns[:3], "estimated_processing_time")]])


def _say_if_unfinished(job: dict[str, Any], wait_s: float) -> None:
    if job["state"] not in ("failed", "cancelled"):
        follow = f"'ezthrottle jobs tail {job['job_id']}' follows it"
        typer.echo(f"{job['job_id']} is still {job['state']} after {wait_s:g} s: {follow}", err=True)


def _warnings(taken: dict[str, Any]) -> list[str]:
    known = taken["status"] == "duplicate"
    told = (
        [f"a duplicate of {taken['job_id']}: nothing was sent; --key makes it another job"] if known else []
    )
    return [*told, *taken.get("warnings", ())]


@jobs.command("get")
def get(
    job_id: JobId,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    wait: Wait = 0.0,
    *,
    of_all: Whosever = False,
    as_json: AsJson = False,
) -> None:
    """Show a job with its attempts and deliveries."""
    _show_job(_get(url, api_key, _path(job_id, of_all=of_all), wait), as_json=as_json)


@jobs.command("list")
def list_jobs(
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    *,
    state: State = "",
    domain: Domain = "",
    delivery: Delivery = "",
    code: Code = "",
    since: Since = "",
    until: Until = "",
    key: Key = "",
    limit: Limit = 50,
    cursor: Cursor = "",
    of_all: OfAll = False,
    customer: Customer = "",
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    filters = _filters(state, domain, delivery, code, since, until, key)
    query = filters | given({"customer": customer, "limit": limit, "cursor": cursor})
    of_all = of_all or bool(customer)
    page = call("GET", url, _path(of_all=of_all), api_key, params=query)
    if as_json:
        show(page)
    else:
        _list(page["jobs"], of_all=of_all)
        tell_of_more(page)


def _list(found: list[dict[str, Any]], *, of_all: bool) -> None:
    names = ("job_id", *(("customer_id",) if of_all else ()), "state", "delivery", "domain")
    rows = [[*(j[name] for name in names), when(j["accepted_at"]), when(j["ended_at"])] for j in found]
    table((*names, "accepted", "ended"), rows)


def _filters(
    state: str, domain: str, delivery: str, code: str, since: str, until: str, key: str
) -> dict[str, Any]:
    times = {"since": read_when(since), "until": read_when(until)}
    named = {"state": state, "domain": domain, "delivery": delivery, "code": code, "idempotent_key": key}
    return given(named | times)


@jobs.command("tail")
def tail(job_id: JobId, url: Url = DEFAULT_URL, api_key: ApiKey = "", *, as_json: AsJson = False) -> None:
    """Follow a job to its end; what happened before is told first. Exits 1 where it did not succeed."""
    last: dict[str, Any] = {}
    with service(url, api_key, SILENT_MOST_S) as client:
        # A stream waits for a service that is away, which at the beginning is a mistake.
        client.get_job(job_id)
        for event in client.stream(job_id):
            last = event.data
            _tell_of(event.name, event.data, as_json=as_json)
    raise typer.Exit(0 if last.get("state") == "success" else REFUSED)


def _tell_of(name: str, document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"event": name} | document))
    else:
        typer.echo(f"{typer.style(f'{name:<12}', fg=_colour(name), bold=True)} {_line(name, document)}")


@jobs.command("cancel")
def cancel(
    job_id: OneOrFilters = "",
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    *,
    state: State = "",
    domain: Domain = "",
    delivery: Delivery = "",
    code: Code = "",
    since: Since = "",
    until: Until = "",
    key: Key = "",
    dry_run: DryRun = False,
    of_all: Whosever = False,
    as_json: AsJson = False,
) -> None:
    """Cancel a job, or all that have not ended and fit the filters."""
    filters = _filters(state, domain, delivery, code, since, until, key)
    if _is_one(job_id, filters, dry_run=dry_run, of_all=of_all):
        done = call("DELETE", url, _path(job_id, of_all=of_all), api_key)
        tell(done, f"cancelled {done['job_id']}", as_json=as_json)
    else:
        _do_with_many("cancel", url, api_key, filters, dry_run=dry_run, as_json=as_json)


@jobs.command("replay")
def replay(
    job_id: OneOrFilters = "",
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    *,
    state: State = "",
    domain: Domain = "",
    delivery: Delivery = "",
    code: Code = "",
    since: Since = "",
    until: Until = "",
    key: Key = "",
    dry_run: DryRun = False,
    of_all: Whosever = False,
    as_json: AsJson = False,
) -> None:
    """Make a new job of a finished one, or of each that has ended and fits the filters."""
    filters = _filters(state, domain, delivery, code, since, until, key)
    if _is_one(job_id, filters, dry_run=dry_run, of_all=of_all):
        taken = call("POST", url, f"{_path(job_id, of_all=of_all)}/replay", api_key)
        tell(taken, f"{taken['job_id']} does again what {job_id} did", as_json=as_json)
    else:
        if not state and not code:
            refuse("say which --state is replayed: failed, say, and not what succeeded", USAGE_ERROR)
        _do_with_many("replay", url, api_key, filters, dry_run=dry_run, as_json=as_json)


def _is_one(job_id: str, filters: dict[str, Any], *, dry_run: bool, of_all: bool) -> bool:
    if bool(job_id) == bool(filters):
        refuse("name one job, or filters (--state, --domain, …) that choose them", USAGE_ERROR)
    if job_id and dry_run:
        refuse("--dry-run counts what filters choose: leave the job's id out", USAGE_ERROR)
    if filters and of_all:
        refuse("--all is for one job: many at once are one customer's, by a key of theirs", USAGE_ERROR)
    return bool(job_id)


def _do_with_many(
    act: str, url: str, api_key: str, filters: dict[str, Any], *, dry_run: bool, as_json: bool
) -> None:
    """Cancel or replay what fits, some hundred with each call, until that was all."""
    document = filters | {"dry_run": dry_run, "limit": MANY_A_CALL}
    total = {"status": "dry_run", "jobs": 0, "skipped": 0}
    while True:
        done = call("POST", url, f"/jobs:{act}", api_key, body=document)
        total |= {"status": done["status"], "jobs": total["jobs"] + done["jobs"]}
        total["skipped"] += done.get("skipped", 0)
        if not done.get("next_cursor"):
            break
        document["cursor"] = done["next_cursor"]
    did = f"would {act}" if dry_run else done["status"]
    skipped = f"; {total['skipped']} passed over" if total["skipped"] else ""
    tell(total, f"{did} {total['jobs']} jobs{skipped}", as_json=as_json)


def _path(job_id: str = "", *, of_all: bool = False) -> str:
    """Name one job or all, a key's own or everybody's."""
    return "/".join(filter(None, ("/admin/jobs" if of_all else "/jobs", job_id)))


def _get(url: str, api_key: str, path: str, wait_s: float) -> dict[str, Any]:
    query = {"wait": wait_s} if wait_s else None
    return call("GET", url, path, api_key, params=query, timeout_s=wait_s + WAIT_MOST_S)


def _show_job(job: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show(job)
        return
    error = (job["result"] or {}).get("error") or {}
    request = job.get("request") or {}
    facts = {
        "job": job["job_id"],
        "request": f"{request['method']} {request['url']}" if request else None,
        "domain": job.get("domain"),
        "metadata": json.dumps(job["metadata"]) if job.get("metadata") else None,
        "state": job["state"],
        "delivery": job["delivery"],
        "accepted": when(job["accepted_at"]),
        "position": job["position"],
        "starts about": when(job["estimated_start_at"]),
        "ended": when(job["ended_at"]),
        "error": error.get("message"),
    }
    table(("", ""), [fact for fact in facts.items() if fact[1] not in ("", None)])
    timeline = job["timeline"]
    if timeline["attempts"]:
        names = ("attempt", "step", "region", "status_code", "fault", "verdict")
        table((*names, "took ms"), [[*(a[n] for n in names), _took(a)] for a in timeline["attempts"]])
    if timeline["deliveries"]:
        rows = [
            (d["url"], d["state"], len(d["attempts"]), when(d["next_at"]), _last_reason(d["attempts"]))
            for d in timeline["deliveries"]
        ]
        table(("webhook", "state", "attempts", "next", "last"), rows)


def _last_reason(attempts: list[dict[str, Any]]) -> Any:
    return (attempts[-1]["status_code"] or attempts[-1]["error"]) if attempts else None


def _took(attempt: dict[str, Any]) -> int | None:
    started, ended = attempt["started_at"], attempt["ended_at"]
    return None if started is None or ended is None else ended - started


def _line(name: str, document: dict[str, Any]) -> str:
    match name:
        case "position":
            starts_at = document["estimated_start_at"]
            return f"{document['position']}" + (f", starts about {when(starts_at)}" if starts_at else "")
        case "dispatching":
            return f"attempt {document['attempt']} from {document['region']} ({document['step']})"
        case "attempt":
            outcome = document["status_code"] or document["fault"]
            return f"attempt {document['attempt']} from {document['region']}: {outcome}"
        case "completed" | "failed":
            error = (document["result"] or {}).get("error") or {}
            return f"{document['state']} {error.get('message', '')}".rstrip()
        case _:
            return str(document.get("state", ""))


def _colour(name: str) -> str:
    return {"completed": "green", "failed": "red"}.get(name, "cyan")


def _from_file(name: str) -> dict[str, Any]:
    if not name:
        return {}
    try:
        document = json.loads(sys.stdin.read() if name == "-" else Path(name).read_text())
    except (OSError, ValueError) as error:
        refuse(f"--file {name}: {error}", USAGE_ERROR)
    if not isinstance(document, dict):
        refuse(f"--file {name}: a job is a JSON object", USAGE_ERROR)
    return document


def _text(data: str) -> str:
    if not data.startswith("@"):
        return data
    try:
        return Path(data[1:]).read_text()
    except (OSError, ValueError) as error:
        refuse(f"--data {data}: {error}", USAGE_ERROR)


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        refuse(f"--header {line!r}: write 'Name: value'", USAGE_ERROR)
    return name.strip(), value.strip()
