"""Names of things. Each is a type of its own, so that none can stand where another belongs."""

import re
from functools import lru_cache
from ipaddress import IPv6Address
from random import Random
from typing import NewType
from urllib.parse import urlsplit

JobId = NewType("JobId", str)
AttemptId = NewType("AttemptId", str)
DeliveryId = NewType("DeliveryId", str)
CustomerId = NewType("CustomerId", str)
AccountId = NewType("AccountId", str)
"""An account at a target: a hash of the credentials that a request carries, or of the name it gives."""
RegionName = NewType("RegionName", str)
TargetDomain = NewType("TargetDomain", str)
"""A target's host, with its port unless that is the scheme's own: the unit of pacing."""

URLS_REMEMBERED = 1024
"""Customers call the same few URLs again and again; those that all differ cost what they did."""

_DELIVERY_ID = re.compile(r"msg_(.{1,100})_([0-9]{1,4})\Z", re.ASCII)

DEFAULT_PORTS = {"http": 80, "https": 443}


def new_job_id(now_ms: int, random: Random) -> JobId:
    """Make an id that sorts by time and can't be guessed: ``job_<unix ms>_<digits>``."""
    return JobId(f"job_{now_ms}_{random.randrange(10**12):012d}")


def delivery_place(delivery_id: DeliveryId) -> tuple[JobId, int] | None:
    """Say which job a delivery tells of, and which of its webhooks; None where the id is none."""
    found = _DELIVERY_ID.match(delivery_id)
    return (JobId(found[1]), int(found[2])) if found else None


@lru_cache(URLS_REMEMBERED)
def target_domain(url: str) -> TargetDomain:
    """Name the domain that paces ``url``.

    Raises:
        ValueError: The URL has no host, or an address or a port that is none.

    """
    parts = urlsplit(url)
    host = _one_spelling((parts.hostname or "").rstrip("."))
    if not host:
        msg = "the URL names no host"
        raise ValueError(msg)
    port = parts.port
    return TargetDomain(host if port in (None, DEFAULT_PORTS.get(parts.scheme)) else f"{host}:{port}")


def _one_spelling(host: str) -> str:
    # An IPv6 address has many spellings: each would be a domain with a pace of its own.
    if ":" not in host:
        return host
    address = IPv6Address(host)
    return str(address.ipv4_mapped or f"[{address}]")
