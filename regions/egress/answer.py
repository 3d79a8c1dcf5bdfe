"""One answer as it arrives: its head, its body, and how far it could be read.

Once its status line was read the target has answered. What goes wrong from there on cuts the answer short and
is said of it; it does not make it vanish.
"""

import asyncio
from collections.abc import Callable

from orchestrator.domain.exchange import HttpResponse
from regions.egress.body import INFLATES_TIMES, BodyCollector
from regions.egress.framing import Framing, framing_of, keeps_connection
from regions.egress.head import FIELD_COSTS, EndlessInterimError, HeadReader, NotHttpError
from regions.egress.headers import joined_headers

CLOSED_BEFORE = "the connection was closed before the answer"
CLOSED_WITHIN = "the connection was closed within the answer"
NOT_HTTP = "the answer is not HTTP"
ENDLESS_INTERIM = "interim answers came without end"
DAMAGED_CODING = "the answer's content coding is damaged"
_NO_BODY = BodyCollector("", 0)
"""Of answers whose body has not begun; nothing is ever added to it."""


class Answer:
    """Reads one answer.

    ``over`` is done when there is nothing more to read: the answer is whole, or ``trouble`` says in words why
    it is not. ``reusable`` says that the connection may take another request. ``on_status`` is called once,
    when the final answer's status is known. ``body_most`` bounds the body, in bytes.
    """

    def __init__(self, *, asked_head: bool, body_most: int) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.trouble = ""
        self.reusable = False
        self.on_status: Callable[[], None] | None = None
        self._asked_head = asked_head
        self._body_most = body_most
        self._head = HeadReader()
        self._framing: Framing | None = None
        self._body = _NO_BODY

    @property
    def has_status(self) -> bool:
        """Whether the target has answered."""
        return self._head.status is not None

    @property
    def in_head(self) -> bool:
        """Whether its head is still being read."""
        return self._framing is None

    @property
    def coded(self) -> bool:
        """Whether its body may become many times as large as what arrives."""
        return self._body.coded

    def size_after(self, data: bytes, start: int, end: int) -> int:
        """Say how many bytes it may take in memory once a slice of what arrived was read."""
        if self._framing is None:
            # Lines of a head are kept apart, and cost most where they are short.
            until = data.find(b"\r\n\r\n", start, end)
            lines = data.count(b"\n", start, end if until < 0 else until)
            return self._head.size + end - start + FIELD_COSTS * lines
        body = len(self._body.content) + (end - start) * (INFLATES_TIMES if self.coded else 1)
        return self._head.size + body

    def feed(self, data: bytes) -> int:
        """Take what arrived; say how much of it was left: where a body begins, somebody may have to wait."""
        framing = self._framing
        if framing is None:
            rest = self._read_head(data)
            if rest is None:
                return 0
            framing = self._framing = self._begin_body()
            if rest and not framing.over:
                return len(rest)
            data = rest
        self._read_body(framing, data)
        return 0

    def lost(self, words: str) -> None:
        """The connection is gone; ``words`` say how where it was not closed in good order."""
        framing = self._framing
        if framing is not None and framing.ends_with_connection and not words:
            self._complete()
        else:
            self.cut(words or (CLOSED_WITHIN if self.has_status else CLOSED_BEFORE))

    def cut(self, trouble: str) -> None:
        """Nothing more of it will be read, and ``trouble`` says why."""
        # Whoever waited for it and was interrupted has cancelled the future: then it has ended here, and now.
        if not self.over.done() or self.over.cancelled():
            self.trouble = trouble
            self.reusable = False
        self._end()

    def response(self) -> HttpResponse:
        """What was read of it. Ask only an answer that has a status."""
        body, status = self._body, self._head.status
        if status is None:
            raise ValueError(CLOSED_BEFORE)
        headers, repeated = joined_headers(self._head.fields)
        if body.decoded:
            headers.pop("content-encoding", None)
            headers.pop("content-length", None)
        return HttpResponse(
            status=status,
            headers=headers,
            body=bytes(body.content),
            truncated=body.truncated,
            headers_truncated=self._head.cut,
            incomplete=self.trouble,
            repeated=repeated,
        )

    def _read_head(self, data: bytes) -> bytes | None:
        try:
            rest = self._head.feed(data)
        except (NotHttpError, EndlessInterimError) as error:
            self.cut(NOT_HTTP if isinstance(error, NotHttpError) else ENDLESS_INTERIM)
            return None
        if self.on_status is not None and self.has_status:
            self.on_status()
            self.on_status = None
        return rest

    def _begin_body(self) -> Framing:
        coding = b", ".join(self._head.framing(b"content-encoding")).decode("latin-1")
        self._body = BodyCollector(coding, self._body_most)
        return framing_of(self._head, asked_head=self._asked_head)

    def _read_body(self, framing: Framing, data: bytes) -> None:
        if data:
            self._body.feed(framing.feed(data))
        if self._body.truncated:
            self._end()
        elif framing.trouble:
            self.cut(framing.trouble)
        elif framing.over:
            self.reusable = not framing.excess and keeps_connection(self._head)
            self._complete()

    def _complete(self) -> None:
        self._body.finish()
        if self._body.damaged:
            self.trouble = DAMAGED_CODING
        self._end()

    def _end(self) -> None:
        self.on_status = None
        if not self.over.done():
            self.over.set_result(None)
