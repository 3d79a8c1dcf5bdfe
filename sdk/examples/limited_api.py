"""Stands in for an API that limits its callers, as four well-known ones say that they do.

``python limited_api.py KIND HOST:PORT`` serves ``stripe``, ``openai``, ``github`` or ``slack``. The limits
are small, so that a page of a guide meets them in seconds. It prints what it is asked, and what it said.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Union

REQUESTS_A_SECOND = 10
TOKENS, TOKENS_A_SECOND = 3_000, 1_000
CREATED_A_WINDOW, WINDOW_S = 2, 2


@dataclass(frozen=True)
class Asked:
    """A request, as far as limits go."""

    headers: Mapping[str, str]
    body: str


@dataclass
class Answer:
    """What it is told."""

    status: int
    content: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


class Stripe:
    """So many requests a second, refused without a word on when to come back; one result for each key."""

    def __init__(self) -> None:
        self._starts: deque[float] = deque()
        self._charges: dict[str, Answer] = {}

    def answer(self, asked: Asked, now: float) -> Answer:
        """Charge once for each key, at the limit."""
        key = asked.headers.get("Idempotency-Key", "")
        if key in self._charges:
            first = self._charges[key]
            return Answer(first.status, first.content, {"Idempotent-Replayed": "true"})
        if not _room(self._starts, now, REQUESTS_A_SECOND, 1):
            return Answer(429, {"error": {"code": "rate_limit"}})
        charge = Answer(200, {"id": f"ch_{len(self._charges) + 1}", "object": "charge"})
        return self._charges.setdefault(key, charge)


class OpenAI:
    """A budget of tokens that grows back, told with each answer."""

    def __init__(self) -> None:
        self._left, self._at = float(TOKENS), time.monotonic()

    def answer(self, asked: Asked, now: float) -> Answer:
        """Take the tokens that a completion may use at most."""
        self._left = min(float(TOKENS), self._left + (now - self._at) * TOKENS_A_SECOND)
        self._at = now
        wanted = float(json.loads(asked.body or "{}").get("max_tokens", 1))
        fits = wanted <= self._left
        self._left -= wanted if fits else 0.0
        until_whole_s = (TOKENS - self._left) / TOKENS_A_SECOND
        told = {
            "x-ratelimit-limit-tokens": str(TOKENS),
            "x-ratelimit-remaining-tokens": str(int(self._left)),
            "x-ratelimit-reset-tokens": f"{until_whole_s:.3f}s",
        }
        if fits:
            return Answer(200, {"choices": [{"message": {"content": "…"}}]}, told)
        return Answer(429, {"error": {"code": "rate_limit_exceeded"}}, told)


class GitHub:
    """A secondary limit, 403 with ``Retry-After``, on what is created; no User-Agent is 403 too."""

    def __init__(self) -> None:
        self._starts: deque[float] = deque()
        self._count = 0

    def answer(self, asked: Asked, now: float) -> Answer:
        """Create an issue, or refuse."""
        if "User-Agent" not in asked.headers:
            return Answer(403, {"message": "Please make sure your request has a User-Agent header."})
        told = {"x-ratelimit-limit": "5000", "x-ratelimit-remaining": str(4990 - self._count)}
        told |= {"x-ratelimit-reset": str(int(time.time()) + 3_000)}
        if not _room(self._starts, now, CREATED_A_WINDOW, WINDOW_S):
            refusal = {"message": "You have exceeded a secondary rate limit."}
            return Answer(403, refusal, told | {"Retry-After": str(WINDOW_S)})
        self._count += 1
        return Answer(201, {"number": self._count}, told)


class Slack:
    """A message a second, ``Retry-After`` past it; what is wrong with a message is told in a 200."""

    def __init__(self) -> None:
        self._starts: deque[float] = deque()

    def answer(self, asked: Asked, now: float) -> Answer:
        """Post a message."""
        if not _room(self._starts, now, 1, 1):
            return Answer(429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "1"})
        if json.loads(asked.body or "{}").get("channel", "").startswith("#no-"):
            return Answer(200, {"ok": False, "error": "channel_not_found"})
        return Answer(200, {"ok": True})


Api = Union[Stripe, OpenAI, GitHub, Slack]
KINDS: dict[str, Callable[[], Api]] = {"stripe": Stripe, "openai": OpenAI, "github": GitHub, "slack": Slack}


def _room(starts: deque[float], now: float, most: int, window_s: float) -> bool:
    """Count a request into the window that ends now, if it fits."""
    while starts and starts[0] <= now - window_s:
        starts.popleft()
    fits = len(starts) < most
    if fits:
        starts.append(now)
    return fits


def _handler(api: Api) -> type[BaseHTTPRequestHandler]:
    one_at_a_time = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            asked = Asked(dict(self.headers.items()), body)
            with one_at_a_time:
                answer = api.answer(asked, time.monotonic())
            told = ", ".join(f"{name}: {value}" for name, value in answer.headers.items())
            print(self.command, self.path, answer.status, told, flush=True)
            self._send(answer)

        do_POST = do_GET  # noqa: N815

        def _send(self, answer: Answer) -> None:
            content = json.dumps(answer.content).encode()
            self.send_response(answer.status)
            for name, value in (*answer.headers.items(), ("Content-Length", str(len(content)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Print each request once."""

    return Handler


if __name__ == "__main__":
    kind, address = sys.argv[1:]
    host, _, port = address.rpartition(":")
    server = ThreadingHTTPServer((host, int(port)), _handler(KINDS[kind]()))
    print(f"{kind} is answering on http://{address}", flush=True)
    server.serve_forever()
