"""Webhooks that a receiver has to refuse, each by what was done to it."""

import base64
import json
from dataclasses import dataclass, replace

from orchestrator.domain.ids import DeliveryId
from orchestrator.domain.webhooks.signing import signature_headers

SECRET, OTHER = "the_secret_of_the_customer", "a_secret_of_somebody_else"
BODY = '{"job_id":"job_1_2","status":"success","metadata":{"name":"Zoë"}}'.encode()
DELIVERY = DeliveryId("msg_job_1_2_0")
OWN, STANDARD, STAMP, ID = "X-EZThrottle-Signature", "webhook-signature", "webhook-timestamp", "webhook-id"


@dataclass(frozen=True)
class Signed:
    """A webhook as it arrives."""

    body: bytes
    headers: dict[str, str]

    @property
    def own(self) -> str:
        return self.headers.get(OWN, "")

    def carrying(self, **headers: str) -> "Signed":
        named = {"own": OWN, "standard": STANDARD, "stamp": STAMP, "id": ID}
        return replace(self, headers=self.headers | {named[name]: value for name, value in headers.items()})


def webhook(now_s: int, *secrets: str, body: bytes = BODY) -> Signed:
    """Sign one as the service does."""
    return Signed(body, dict(signature_headers(body, secrets or (SECRET,), DELIVERY, now_s)))


def forgeries(now_s: int) -> dict[str, Signed]:
    """Make them all; each is wrong in both schemes."""
    good = webhook(now_s)
    return {
        "signed with another secret": webhook(now_s, OTHER),
        "signed with two other secrets": webhook(now_s, OTHER, OTHER + "2"),
        "not signed": replace(good, headers={}),
        "replayed six minutes later": webhook(now_s - 360),
        "dated six minutes ahead": webhook(now_s + 360),
        **_changed_bodies(good),
        **_changed_signatures(good, now_s),
    }


def _changed_bodies(good: Signed) -> dict[str, Signed]:
    document = json.loads(good.body)
    bodies = {
        "truncated": good.body[:-1],
        "cut to nothing": b"",
        "extended": good.body + b"\n",
        "altered": good.body.replace(b"success", b"failed"),
        "re-encoded with spaces": json.dumps(document, ensure_ascii=False).encode(),
        "re-encoded with escapes": json.dumps(document, separators=(",", ":")).encode(),
        "re-encoded as UTF-16": good.body.decode().encode("utf-16"),
        "re-encoded in another normal form": good.body.replace("ë".encode(), "e\u0308".encode()),
        "another one": b'{"job_id":"job_3_4"}',
    }
    return {f"body {name}": replace(good, body=body) for name, body in bodies.items()}


def _changed_signatures(good: Signed, now_s: int) -> dict[str, Signed]:
    stamp, hexed = good.own.split(",v1=")
    plain = good.headers[STANDARD].removeprefix("v1,")
    as_hex = base64.b64decode(plain).hex()
    return {
        "re-timed": webhook(now_s - 360).carrying(
            own=f"t={now_s}," + webhook(now_s - 360).own.split(",", 1)[1], stamp=str(now_s)
        ),
        "re-timed by a second": good.carrying(own=f"t={now_s - 1},v1={hexed}", stamp=str(now_s - 1)),
        "signature truncated": good.carrying(own=good.own[:-1], standard=f"v1,{plain[:-4]}"),
        "signature cut off": good.carrying(own=f"{stamp},v1=", standard="v1,"),
        "signature of another version": good.carrying(own=f"{stamp},v0={hexed}", standard=f"v0,{plain}"),
        "signature in upper case": good.carrying(own=f"{stamp},v1={hexed.upper()}", standard=f"v1,{as_hex}"),
        "signatures of the two schemes exchanged": good.carrying(
            own=f"{stamp},v1={as_hex}", standard=f"v1,{base64.b64encode(bytes.fromhex(hexed)).decode()}"
        ),
        "time left out": good.carrying(own=f"v1={hexed}", stamp=""),
        "time that is no number": good.carrying(own=f"t=now,v1={hexed}", stamp="now"),
    }
