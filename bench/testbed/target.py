"""The world outside: a target that writes down who asks, from which address, and when connections close.

    python -m bench.testbed.target PORT LOG

What it does stands in the request's query: ``after`` is after how many seconds it answers, ``after_REGION``
that for one region, ``bytes`` how large its answer is, ``rps`` the pace that it states (else a generous one).
"""

import asyncio
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec

GENEROUS_RPS = 1000
MOST_CONCURRENT = 500


class Event(msgspec.Struct, frozen=True):
    """A request that was read, was answered, or whose connection closed before; ``at`` in Unix seconds."""

    what: str
    at: float
    source: str
    path: str
    region: str
    job: str
    attempt: int


class Question(msgspec.Struct, frozen=True):
    """What a request asks of the target."""

    path: str
    region: str
    job: str
    attempt: int
    wishes: dict[str, str]

    @property
    def after_s(self) -> float:
        """When to answer."""
        return float(self.wishes.get(f"after_{self.region}", self.wishes.get("after", "0")))


class Target:
    """Answers, and writes one line of JSON for each event."""

    def __init__(self, log: Path) -> None:
        self._log = log.open("ab", buffering=0)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer what comes on a connection until it closes."""
        source = writer.get_extra_info("peername")[0]
        try:
            while True:
                question = await _read(reader)
                self._note("request", source, question)
                if not await self._answer(reader, writer, question):
                    self._note("closed", source, question)
                    return
                self._note("answered", source, question)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, question: Question
    ) -> bool:
        if question.after_s:
            # Nobody sends more before the answer: whatever is read now is the end of the connection.
            gone = asyncio.ensure_future(reader.read(1))
            done, _ = await asyncio.wait([gone], timeout=question.after_s)
            gone.cancel()
            # Until it is over nobody else may read: the next request would end the connection.
            await asyncio.wait([gone])
            if done:
                return False
        rps = question.wishes.get("rps", str(GENEROUS_RPS))
        body = b"x" * int(question.wishes.get("bytes", "2"))
        head = (
            "HTTP/1.1 200 OK\r\n"
            f"X-EZTHROTTLE-RPS: {rps}\r\nX-EZTHROTTLE-MAX-CONCURRENT: {MOST_CONCURRENT}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        return True

    def _note(self, what: str, source: str, asked: Question) -> None:
        event = Event(what, time.time(), source, asked.path, asked.region, asked.job, asked.attempt)
        self._log.write(msgspec.json.encode(event) + b"\n")


async def _read(reader: asyncio.StreamReader) -> Question:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    await reader.readexactly(int(headers.get("content-length", "0")))
    url = urlsplit(first.split()[1])
    return Question(
        path=url.path,
        region=headers.get("x-ezthrottle-region", ""),
        job=headers.get("x-ezthrottle-job-id", ""),
        attempt=int(headers.get("x-ezthrottle-attempt", "0")),
        wishes={name: values[-1] for name, values in parse_qs(url.query).items()},
    )


def read_events(log: Path) -> list[Event]:
    """Read what a target has written so far."""
    return [msgspec.json.decode(line, type=Event) for line in log.read_bytes().splitlines()]


async def main() -> None:
    """Serve until killed."""
    port, log = sys.argv[1:]
    server = await asyncio.start_server(Target(Path(log)).serve, host="0.0.0.0", port=int(port))
    print("listening", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
