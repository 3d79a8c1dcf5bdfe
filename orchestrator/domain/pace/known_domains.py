"""Target domains that the operator knows: their pace, how far they may raise it, and whose turn is whose."""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from orchestrator.domain.access.api_keys import DEFAULT_PLAN
from orchestrator.domain.headers.signals import CONCURRENT_MOST, RPS_LEAST, RPS_MOST
from orchestrator.domain.ids import HTTP_PORT, HTTPS_PORT, TargetDomain, host_and_port, read_domain
from orchestrator.domain.pace.pacing import Pace, PaceCaps

WEIGHT_MOST = 1_000
WILDCARD = "*."
_PORTS_UNNAMED = (HTTP_PORT, HTTPS_PORT)
"""An entry that names no port holds for these."""


class DomainPolicy(Struct, frozen=True, kw_only=True):
    """How one domain is treated; None is as any other. ``most_*`` cap what the target may raise itself to."""

    rps: float | None = None
    max_concurrent: int | None = None
    most_rps: float | None = None
    most_concurrent: int | None = None
    account_queues: bool = False
    source: str = ""
    """Where the figures come from."""

    def pace(self, otherwise: Pace) -> Pace:
        """The pace to begin with, and to come back to."""
        if self.rps is None and self.max_concurrent is None:
            return otherwise
        return Pace(self.rps or otherwise.rps, self.max_concurrent or otherwise.max_concurrent)

    def caps(self, otherwise: PaceCaps) -> PaceCaps:
        """How far the target may raise its pace."""
        if self.most_rps is None and self.most_concurrent is None:
            return otherwise
        return PaceCaps(
            rps=self.most_rps or otherwise.rps,
            max_concurrent=self.most_concurrent or otherwise.max_concurrent,
        )


ANY_OTHER = DomainPolicy()


class KnownDomains(Struct, frozen=True, kw_only=True):
    """The operator's table: policies by domain, ``*.example.com`` for all below one, and weights by plan."""

    policies: Mapping[str, DomainPolicy] = field(default_factory=dict)
    weights: Mapping[str, int] = field(default_factory=dict)

    @property
    def plans(self) -> tuple[str, ...]:
        """The plans that a customer may have; where none is named, there is one."""
        return tuple(sorted(self.weights)) or (DEFAULT_PLAN,)

    def policy(self, domain: TargetDomain) -> DomainPolicy:
        """Find a domain's policy, the closest wildcard where it is not named itself. An entry without a port
        holds for 80 and 443; one that names the port comes first.
        """
        host, port = host_and_port(domain)
        ports = (f":{port}", "") if port in _PORTS_UNNAMED else (f":{port}",)
        names = (f"{name}{suffix}" for name in _from_closest(host) for suffix in ports)
        return next((self.policies[name] for name in names if name in self.policies), ANY_OTHER)

    def merged(self, other: "KnownDomains") -> "KnownDomains":
        """Let another table's entries stand in for those of the same name."""
        policies = {**self.policies, **other.policies}
        return replace(self, policies=policies, weights={**self.weights, **other.weights})


def _from_closest(host: str) -> Iterator[str]:
    yield host
    while "." in host:
        host = host.partition(".")[2]
        yield WILDCARD + host


class BadTable(ValueError):
    """The table can't be used; the message names each wrong field and its remedy."""


def read_known_domains(document: Mapping[str, Any]) -> KnownDomains:
    """Check a table and read it.

    Raises:
        BadTable: Something in it is wrong.

    """
    problems = [*_problems(document)]
    if problems:
        raise BadTable("; ".join(problems))
    policies = {name: DomainPolicy(**entry) for name, entry in document.get("domains", {}).items()}
    return KnownDomains(policies=policies, weights=dict(document.get("plans", {})))


def _problems(document: Mapping[str, Any]) -> Iterator[str]:
    for name in document.keys() - {"domains", "plans"}:
        yield f'{name}: is no section; there are [domains."HOST"] and [plans]'
    for section in ("domains", "plans"):
        if not isinstance(document.get(section, {}), dict):
            yield f"{section}: must be a table: write [{section}]"
            return
    for plan, weight in document.get("plans", {}).items():
        if not _is_number(weight, 1, WEIGHT_MOST) or int(weight) != weight:
            yield f"plans.{plan}: must be a whole number from 1 to {WEIGHT_MOST}, the permits of one turn"
    for name, entry in document.get("domains", {}).items():
        yield from _domain_problems(name, entry)


def _domain_problems(name: str, entry: object) -> Iterator[str]:
    if not _is_domain(name):
        yield f'domains."{name}": must be a host in lower case and its usual spelling, HOST:PORT or *.HOST'
    if not isinstance(entry, dict):
        yield f'domains."{name}": must be a table: write [domains."{name}"] and its fields below'
        return
    for key, value in entry.items():
        problem = _FIELDS[key](value) if key in _FIELDS else f"is no field; there are {', '.join(_FIELDS)}"
        if problem:
            yield f'domains."{name}".{key}: {problem}'
    for low, high in (("rps", "most_rps"), ("max_concurrent", "most_concurrent")):
        values = (entry.get(low, 0), entry.get(high, float("inf")))
        if all(isinstance(value, int | float) for value in values) and values[0] > values[1]:
            yield f'domains."{name}".{low}: is more than {high}: lower it, or raise {high}'


def _is_domain(name: str) -> bool:
    host = name.removeprefix(WILDCARD)
    try:
        return read_domain(host) in (host, host.removesuffix(f":{HTTPS_PORT}"))
    except ValueError:
        return False


def _is_number(value: object, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _rate(value: object) -> str | None:
    return (
        None
        if _is_number(value, RPS_LEAST, RPS_MOST)
        else f"must be from {RPS_LEAST} to {RPS_MOST:g} per second"
    )


def _places(value: object) -> str | None:
    whole = isinstance(value, int) and _is_number(value, 1, CONCURRENT_MOST)
    return None if whole else f"must be a whole number from 1 to {CONCURRENT_MOST}"


def _switch(value: object) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def _text(value: object) -> str | None:
    return None if isinstance(value, str) else "must be a text in quotes: where the figures come from"


_FIELDS = {
    "rps": _rate,
    "max_concurrent": _places,
    "most_rps": _rate,
    "most_concurrent": _places,
    "account_queues": _switch,
    "source": _text,
}
