"""Every answer of the envelope is one that the typed clients can read."""

from typing import Any

import pytest

from tests.support.strict_readers import GoReader, NodeReader, UnreadableError, envelope_of
from tests.unit.http.gateway import TARGET, Gateway

READERS = (GoReader(), NodeReader())
SUBMISSIONS: list[dict[str, Any]] = [
    {"url": TARGET},
    {"url": TARGET, "method": "POST", "body": "x", "regions": ["iad", "lax"]},
    {"url": TARGET, "retry_at": "soon"},
    {"url": TARGET, "idempotentKey": "mine", "retryPolicy": {"maxRetries": 2}, "webhooks": []},
]


async def answered(gateway: Gateway, job: dict[str, Any], slash: str = "") -> tuple[int, str]:
    envelope = envelope_of(f"https://ezthrottle.example{slash}", job)
    response = await gateway.client.post(f"http://service{slash}/api/v1/proxy", json=envelope)
    return response.status_code, response.text


@pytest.mark.parametrize("reader", READERS, ids=["go", "node"])
@pytest.mark.parametrize("job", SUBMISSIONS, ids=["plain", "race", "scheduled", "camel case"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_typed_client_reads_every_acknowledgement(
    gateway: Gateway, reader: GoReader | NodeReader, job: dict[str, Any], slash: str
) -> None:
    later = {"retry_at": gateway.clock.unix_ms() + 90_500} if "retry_at" in job else {}
    # The further a job stands behind others, the less whole its wait would be by itself.
    for number in range(5):
        taken = reader.job(*await answered(gateway, job | later | {"idempotent_key": f"k{number}"}, slash))
        assert taken["job_id"].startswith("job_")


@pytest.mark.parametrize("reader", READERS, ids=["go", "node"])
async def test_a_typed_client_reads_a_refusal(gateway: Gateway, reader: GoReader | NodeReader) -> None:
    with pytest.raises(UnreadableError, match="must begin with http"):
        reader.job(*await answered(gateway, {"url": "ftp://a.example/"}))
