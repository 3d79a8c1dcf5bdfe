"""Names of domains as earlier versions wrote them: a host without a port stood for 80 and for 443, and one
address had as many names as it has spellings.
"""

import sqlite3
from contextlib import suppress

from orchestrator.adapters.damage import reading
from orchestrator.adapters.records import unpack_spec
from orchestrator.adapters.sealing import paces_context, sealing_context
from orchestrator.adapters.sqlite.unnumbered import name_endpoints
from orchestrator.domain.ids import (
    HTTP_PORT,
    HTTPS_PORT,
    TargetDomain,
    host_and_port,
    read_domain,
    target_domain,
)
from orchestrator.ports.secret_box import SecretBox
from orchestrator.ports.store import DamagedError


def name_ports(db: sqlite3.Connection, box: SecretBox) -> None:
    """Name what is open by its URL, and let what was known of a host without a port hold for both. A row that
    can't be read keeps its name: it is its own job's matter.
    """
    _name_open_jobs(db, box)
    name_endpoints(db, box)
    for domain, sealed, day in db.execute("SELECT domain, learned, used_day FROM lessons").fetchall():
        for name in _names_now(domain):
            with suppress(DamagedError), reading("learned"):
                again = box.seal(box.open(sealed, paces_context(domain)), paces_context(name))
                db.execute("INSERT OR IGNORE INTO lessons VALUES (?, ?, ?)", (name, again, day))
        _drop_other_spellings(db, "lessons", domain)
    known = "SELECT customer, domain, used_day FROM customer_domains"
    for customer, domain, day in db.execute(known).fetchall():
        rows = [(customer, name, day) for name in _names_now(domain)]
        db.executemany("INSERT OR IGNORE INTO customer_domains VALUES (?, ?, ?)", rows)
        _drop_other_spellings(db, "customer_domains", domain)


def _name_open_jobs(db: sqlite3.Connection, box: SecretBox) -> None:
    names = []
    find = "SELECT id, customer, request FROM jobs WHERE ended_ms IS NULL AND length(request) > 0"
    for job_id, customer, request in db.execute(find):
        with suppress(DamagedError), reading("request"):
            spec = unpack_spec(box.open(request, sealing_context(customer, job_id, "request")))
            names.append((target_domain(spec.url), job_id))
    db.executemany("UPDATE jobs SET domain = ? WHERE id = ?", names)


def _names_now(before: str) -> list[TargetDomain]:
    host, port = host_and_port(TargetDomain(before))
    with suppress(ValueError):
        return [
            read_domain(f"{host}:{each}") for each in ((HTTPS_PORT, HTTP_PORT) if host == before else (port,))
        ]
    return [TargetDomain(before)]


def _drop_other_spellings(db: sqlite3.Connection, table: str, domain: str) -> None:
    if domain not in _names_now(domain):
        db.execute(f"DELETE FROM {table} WHERE domain = ?", (domain,))  # noqa: S608  # names of our own
