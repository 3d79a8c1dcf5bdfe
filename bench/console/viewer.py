"""Somebody at the console, in a process of its own: signs in, and loads pages as a browser does.

``python -m bench.console.viewer measure URL KEY JOB DOMAIN --rounds N`` loads each page so often and prints
the ms and bytes of each; ``watch`` keeps the overview, the jobs and a job's stream open until it is ended.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from urllib.parse import quote

import httpx

from bench.service import NO_TLS
from orchestrator.adapters.http.console.paths import ROOT, SIGN_IN

CUSTOMER = "cust_03"
TIMEOUT_S = 60.0
OVERVIEW_EVERY_S, JOBS_EVERY_S = 4.0, 3.0
"""As the pages have it in their templates."""


def pages(job_id: str, domain: str) -> Mapping[str, str]:
    """Name what is loaded: every page, and the lists of jobs that look through most."""
    jobs = {
        "all": "",
        "of a customer": f"customer={CUSTOMER}",
        "that failed": "state=failed",
        "that run": "state=running",
        "with a code": "code=status",
        "with a code that none has": "code=poison",
        "of one domain": f"domain={quote(domain)}",
        "of a domain that none has": "domain=nobody.example",
        "of a customer's one domain": f"customer={CUSTOMER}&domain={quote(domain)}",
        "whose webhooks failed": "delivery=failed",
        "whose webhooks wait": f"customer={CUSTOMER}&delivery=pending",
        "of the last hour": "within=1h",
    }
    found = {f"jobs {name}": f"/jobs?{query}" for name, query in jobs.items()}
    found |= {f"count of jobs {name}": f"/jobs/count?{query}" for name, query in jobs.items()}
    every = {
        "overview": "",
        **found,
        "a job": f"/jobs/{job_id}",
        "domains": "/domains",
        "a domain": f"/domains/{quote(domain)}",
        "webhooks of a customer": f"/webhooks?customer={CUSTOMER}",
        "regions": "/regions",
        "usage": "/usage",
        "usage of a customer": f"/usage?customer={CUSTOMER}",
        "keys": "/keys",
        "audit": "/audit",
    }
    return {name: f"{ROOT}{path}" for name, path in every.items()}


async def sign_in(client: httpx.AsyncClient, key: str) -> None:
    """Sign in with a key.

    Raises:
        RuntimeError: It was refused.
    """
    answer = await client.post(SIGN_IN, data={"key": key})
    if answer.status_code != httpx.codes.SEE_OTHER:
        raise RuntimeError(answer.text)


async def measure(client: httpx.AsyncClient, paths: Mapping[str, str], rounds: int) -> dict[str, object]:
    """Load each page so often, one after the other; give the ms of each time, and the bytes of the last."""
    took_ms: dict[str, list[float]] = {name: [] for name in paths}
    sizes: dict[str, int] = {}
    for _ in range(rounds):
        for name, path in paths.items():
            began = time.perf_counter()
            answer = await client.get(path)
            took_ms[name].append((time.perf_counter() - began) * 1000)
            answer.raise_for_status()
            sizes[name] = len(answer.content)
    return {"took_ms": took_ms, "sizes": sizes}


async def watch(client: httpx.AsyncClient, job_id: str) -> None:
    """Keep three tabs open for ever: the overview, the jobs with their count, and a job's stream."""
    await asyncio.gather(
        _poll(client, [ROOT], OVERVIEW_EVERY_S),
        _poll(client, [f"{ROOT}/jobs", f"{ROOT}/jobs/count"], JOBS_EVERY_S),
        _listen(client, job_id),
    )


async def _poll(client: httpx.AsyncClient, paths: Sequence[str], every_s: float) -> None:
    while True:
        for path in paths:
            (await client.get(path)).raise_for_status()
        await asyncio.sleep(every_s)


async def _listen(client: httpx.AsyncClient, job_id: str) -> None:
    while True:
        async with client.stream("GET", f"{ROOT}/jobs/{job_id}/stream") as stream:
            async for _ in stream.aiter_bytes():
                pass
        await asyncio.sleep(1.0)


async def run(options: argparse.Namespace) -> None:
    """Do what is asked for."""
    async with httpx.AsyncClient(base_url=options.url, verify=NO_TLS, timeout=TIMEOUT_S) as client:
        await sign_in(client, options.key)
        print("here", flush=True)
        if options.what == "watch":
            await watch(client, options.job)
        print(json.dumps(await measure(client, pages(options.job, options.domain), options.rounds)))


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("what", choices=["measure", "watch"])
    parser.add_argument("url")
    parser.add_argument("key")
    parser.add_argument("job", help="a job that waits")
    parser.add_argument("domain", help="a target")
    parser.add_argument("--rounds", type=int, default=1)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
