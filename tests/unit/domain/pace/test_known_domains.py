from typing import Any

import pytest

from orchestrator.domain.ids import TargetDomain
from orchestrator.domain.pace.known_domains import (
    ANY_OTHER,
    BadTable,
    DomainPolicy,
    KnownDomains,
    read_known_domains,
)
from orchestrator.domain.pace.pacing import Pace, PaceCaps


def one(**fields: Any) -> dict[str, Any]:
    return {"domains": {"api.example.com": fields}}


def test_a_policy_is_what_the_operator_wrote() -> None:
    table = read_known_domains(one(rps=20, max_concurrent=10, most_rps=50.5, account_queues=True, source="x"))
    policy = table.policy(TargetDomain("api.example.com"))
    assert policy.pace(Pace()) == Pace(20, 10)
    assert policy.caps(PaceCaps()) == PaceCaps(rps=50.5, max_concurrent=1_000)
    assert policy.account_queues


def test_what_a_policy_leaves_out_is_as_for_any_other_domain() -> None:
    policy = read_known_domains(one(max_concurrent=7)).policy(TargetDomain("api.example.com"))
    assert policy.pace(Pace(3.0, 2)) == Pace(3.0, 7)


@pytest.mark.parametrize(
    ("domain", "rps"),
    [
        ("a.example.com", 1),
        ("b.a.example.com", 2),
        ("example.com", None),
        ("c.example.com:81", 4),
        ("c.example.com", 3),
        ("x.org", None),
        # An entry without a port holds for 80 and 443.
        ("a.example.com:80", 1),
        ("a.example.com:81", None),
        ("b.a.example.com:80", 2),
        ("b.a.example.com:8080", None),
        ("[2001:db8::7]", 5),
        ("[2001:db8::7]:80", 5),
        ("[2001:db8::7]:81", None),
        # One with a port holds for that one alone, and comes first.
        ("d.example.com", 6),
        ("d.example.com:80", 7),
        ("e.d.example.com:8443", 8),
        ("e.d.example.com", 3),
        ("f.example.com", 9),
        ("f.example.com:80", 10),
    ],
)
def test_the_closest_name_is_found(domain: str, rps: float | None) -> None:
    names = {
        "a.example.com": 1,
        "*.a.example.com": 2,
        "*.example.com": 3,
        "c.example.com:81": 4,
        "[2001:db8::7]": 5,
        "d.example.com": 6,
        "d.example.com:80": 7,
        "*.d.example.com:8443": 8,
        "f.example.com:443": 9,
        "f.example.com": 10,
    }
    table = KnownDomains(policies={name: DomainPolicy(rps=rps) for name, rps in names.items()})
    assert table.policy(TargetDomain(domain)).rps == rps
    assert (table.policy(TargetDomain(domain)) is ANY_OTHER) is (rps is None)


def test_the_operators_entry_replaces_the_shipped_one() -> None:
    shipped = KnownDomains(policies={"a": DomainPolicy(rps=1), "b": DomainPolicy(rps=1)}, weights={"pro": 2})
    mine = KnownDomains(policies={"a": DomainPolicy(max_concurrent=5)}, weights={"free": 1})
    merged = shipped.merged(mine)
    assert merged.policies == {"a": DomainPolicy(max_concurrent=5), "b": DomainPolicy(rps=1)}
    assert merged.weights == {"pro": 2, "free": 1}


@pytest.mark.parametrize(
    ("document", "field", "remedy"),
    [
        (one(rps=0), "rps", "from 0.01 to 100000"),
        (one(rps="20"), "rps", "from 0.01"),
        (one(rps=float("nan")), "rps", "from 0.01"),
        (one(rps=True), "rps", "from 0.01"),
        (one(max_concurrent=1.5), "max_concurrent", "whole number"),
        (one(most_concurrent=0), "most_concurrent", "whole number"),
        (one(account_queues="yes"), "account_queues", "true or false"),
        (one(source=5), "source", "in quotes"),
        (one(rsp=5), "rsp", "there are rps, max_concurrent"),
        (one(rps=5, most_rps=2), "rps", "raise most_rps"),
        ({"domains": {"API.example.com": {}}}, "API.example.com", "lower case"),
        ({"domains": {"https://a.b": {}}}, "https://a.b", "must be a host"),
        ({"domains": {"a.b/c": {}}}, "a.b/c", "must be a host"),
        ({"domains": {"a.b.": {}}}, "a.b.", "usual spelling"),
        ({"domains": {"127.1": {}}}, "127.1", "usual spelling"),
        ({"domains": {"[2001:0db8::7]": {}}}, "2001", "usual spelling"),
        ({"domains": {"a.b": 5}}, "a.b", "must be a table"),
        ({"domains": 5}, "domains", "[domains]"),
        ({"plans": {"pro": 0}}, "plans.pro", "whole number from 1"),
        ({"plans": {"pro": 1.5}}, "plans.pro", "whole number"),
        ({"domain": {}}, "domain", "no section"),
    ],
)
def test_a_wrong_field_is_named_with_its_remedy(document: dict[str, Any], field: str, remedy: str) -> None:
    with pytest.raises(BadTable) as caught:
        read_known_domains(document)
    assert field in str(caught.value)
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    "name", ["a.b", "a.b:80", "a.b:443", "*.a.b:8443", "[2001:db8::7]:443", "127.0.0.1:81"]
)
def test_a_host_is_named_with_or_without_a_port(name: str) -> None:
    assert read_known_domains({"domains": {name: {"rps": 3}}}).policies == {name: DomainPolicy(rps=3)}


def test_everything_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(BadTable, match=r"rps.*max_concurrent.*plans\.pro|plans\.pro.*rps.*max_concurrent"):
        read_known_domains(one(rps=0, max_concurrent=0) | {"plans": {"pro": 0}})
