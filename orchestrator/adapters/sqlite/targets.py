"""What is known of targets, as rows: what they have taught, sealed, and who calls them on which day."""

import logging
import sqlite3
from typing import Any

from orchestrator.adapters.damage import reading
from orchestrator.adapters.records import pack_learned, unpack_learned
from orchestrator.adapters.sealing import paces_context
from orchestrator.adapters.sqlite.unnumbered import today
from orchestrator.domain.ids import CustomerId, TargetDomain
from orchestrator.domain.steering.learned import Learned
from orchestrator.ports.secret_box import SecretBox
from orchestrator.ports.store import DamagedError

LEARN = "INSERT OR REPLACE INTO lessons (domain, learned, used_day) VALUES (?, ?, ?)"

log = logging.getLogger(__name__)


def lesson(box: SecretBox, domain: TargetDomain, learned: Learned) -> tuple[Any, ...]:
    """Write what a target has taught as values for LEARN."""
    return domain, box.seal(pack_learned(learned), paces_context(domain)), today()


def read_lessons(db: sqlite3.Connection, box: SecretBox) -> dict[TargetDomain, Learned]:
    """Read what targets have taught; what is damaged is forgotten."""
    found = {}
    for domain, sealed in db.execute("SELECT domain, learned FROM lessons"):
        try:
            with reading("learned"):
                found[TargetDomain(domain)] = unpack_learned(box.open(sealed, paces_context(domain)))
        except DamagedError as error:
            log.warning("what %s has taught is damaged, and forgotten: %s", domain, error)
    return found


def note_caller(db: sqlite3.Connection, customer: CustomerId, domain: TargetDomain) -> None:
    """Write down that a customer calls a target today."""
    day = today()
    sql = "INSERT OR REPLACE INTO customer_domains (customer, domain, used_day) VALUES (?, ?, ?)"
    db.execute(sql, (customer, domain, day))
    db.execute("UPDATE lessons SET used_day = ? WHERE domain = ?", (day, domain))
