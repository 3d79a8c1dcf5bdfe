"""Names of things. Each is a type of its own, so that none can stand where another belongs."""

import re
from functools import lru_cache
from random import Random
from typing import NamedTuple, NewType
from urllib.parse import urlsplit

from orchestrator.domain.hosts import one_spelling

JobId = NewType("JobId", str)
AttemptId = NewType("AttemptId", str)
DeliveryId = NewType("DeliveryId", str)
CustomerId = NewType("CustomerId", str)
AccountId = NewType("AccountId", str)
"""An account at a target: a hash of the credentials that a request carries, or of the name it gives."""
RegionName = NewType("RegionName", str)
NodeName = NewType("NodeName", str)
"""A process that works for shards, unique in its cluster: a region may have several."""
ShardName = NewType("ShardName", str)
TargetDomain = NewType("TargetDomain", str)
"""A target's host in one spelling and its port, the unit of pacing: ``host`` for 443, ``host:port`` else."""

URLS_REMEMBERED = 1024
"""Customers call the same few URLs again and again; those that all differ cost what they did."""

_DELIVERY_ID = re.compile(r"msg_(.{1,100})_([0-9]{1,4})\Z", re.ASCII)

_ATTEMPT = re.compile(r"(.{1,100}):([0-9a-f]{1,16})\.[0-9a-f]{1,16}\Z", re.ASCII)

_REGION = re.compile(r"[a-z][a-z0-9-]{0,31}\Z", re.ASCII)

HTTPS_PORT = 443
HTTP_PORT = 80


class NodeAddress(NamedTuple):
    """Who works for shards: a node, and the region that it is in. Written ``region/node``."""

    region: RegionName
    node: NodeName

    def __str__(self) -> str:
        return f"{self.region}/{self.node}"

    @classmethod
    def read(cls, text: str) -> "NodeAddress":
        """Read what ``str`` wrote.

        Raises:
            ValueError: It is no address.

        """
        region, slash, node = text.partition("/")
        if not (region and slash and node):
            msg = f"{text!r} names no node of a region"
            raise ValueError(msg)
        return cls(RegionName(region), NodeName(node))


def is_region_name(text: object) -> bool:
    """Whether a region may be called so: lower case letters, digits and ``-``, a letter first."""
    return isinstance(text, str) and _REGION.match(text) is not None


def new_job_id(now_ms: int, random: Random) -> JobId:
    """Make an id that sorts by time and can't be guessed: ``job_<unix ms>_<digits>``."""
    return JobId(f"job_{now_ms}_{random.randrange(10**12):012d}")


def attempt_id(shard: ShardName, epoch: int, number: int) -> AttemptId:
    """Name an attempt by who let it out: a life of a target's shard."""
    return AttemptId(f"{shard}:{epoch:x}.{number:x}")


def shard_of_attempt(attempt: AttemptId) -> ShardName:
    """Say which shard let an attempt out."""
    return ShardName(attempt.rpartition(":")[0])


def attempt_origin(attempt: AttemptId) -> tuple[ShardName, int] | None:
    """Say which shard let an attempt out, and in which epoch; None where the id does not tell."""
    found = _ATTEMPT.match(attempt)
    return (ShardName(found[1]), int(found[2], 16)) if found else None


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
    host = one_spelling(parts.hostname or "")
    if not host:
        msg = "the URL names no host"
        raise ValueError(msg)
    port = parts.port
    if port is None:
        port = HTTP_PORT if parts.scheme == "http" else HTTPS_PORT
    return domain_at(host, port)


def read_domain(text: str) -> TargetDomain:
    """Read a domain as people write one: ``host``, ``host:port``, in any spelling, or a whole URL.

    Raises:
        ValueError: It names no host, or an address or a port that is none.

    """
    return target_domain(text if "://" in text else f"https://{text}")


def domain_at(host: str, port: int) -> TargetDomain:
    """Write down a host in its one spelling and a port."""
    return TargetDomain(host if port == HTTPS_PORT else f"{host}:{port}")


def host_and_port(domain: TargetDomain) -> tuple[str, int]:
    """Take apart what ``domain_at`` wrote."""
    host, colon, port = domain.rpartition(":")
    return (host, int(port)) if colon and not port.endswith("]") else (domain, HTTPS_PORT)
