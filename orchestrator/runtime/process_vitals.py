"""What every actor says of itself with its heartbeat."""

import os
import time
from pathlib import Path

from orchestrator.transport.mailbox import Mailbox

Vitals = dict[str, float]
"""Counts since the actor began, by name; names are this module's."""

_STATM = Path("/proc/self/statm")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def process_vitals() -> Vitals:
    """Measure this process: CPU time used, s, and resident memory, bytes (0 where it can't be told)."""
    return {"cpu_s": time.process_time(), "resident_bytes": resident_bytes()}


def mailbox_vitals(mailbox: Mailbox) -> Vitals:
    """Count what a mailbox has sent; a fragment of a large message counts as a message."""
    return {"batches_sent": mailbox.batches_sent, "messages_sent": mailbox.messages_sent}


def resident_bytes() -> float:
    """Measure this process's resident memory, bytes; 0 where it can't be told."""
    try:
        return float(_STATM.read_text().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0.0
