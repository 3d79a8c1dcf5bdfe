"""A node's connection to a shard that is on another machine of its cluster."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import NoReturn

from orchestrator.messages.hello import Hello, Invitation, Purpose
from orchestrator.ports.transport import Carrier
from orchestrator.runtime.version import VERSION
from orchestrator.transport.gateway import Gateway
from orchestrator.transport.own_certificate import tls_to
from orchestrator.transport.tcp_caller import TcpCaller
from orchestrator.transport.tcp_link import TcpWay

SILENT_BEATS_MOST = 3
"""So many in a row that nobody answers: the connection is given up for a new one."""
INVITED_WITHIN_S = 5.0
PAUSE_FIRST_S = 0.25
PAUSE_MOST_S = 3.0
"""Between tries: where a firewall lets nobody through, that stays so."""
SOMEBODY = "node"
"""In place of a name: the token says who connects."""

log = logging.getLogger(__name__)


class FarShard:
    """Asks the shard to invite this node, connects, and does both again whenever the connection is lost: it
    may be another life of the shard then.

    Args:
        incarnation: Of this node.
        host: Its machine's address in the cluster: a shard there has a connection of its own.
        invite: Asks the shard; gives None where nobody listens, and raises where it can't be asked.
        is_near: Whether that other connection is there.
        otherwise: Carries batches while there is no connection.
    """

    def __init__(
        self,
        incarnation: str,
        host: str,
        invite: Callable[[], Awaitable[Invitation | None]],
        *,
        is_near: Callable[[], bool],
        otherwise: Carrier,
    ) -> None:
        self.way = TcpWay(otherwise)
        self._incarnation = incarnation
        self._host = host
        self._invite = invite
        self._is_near = is_near
        self._caller: TcpCaller | None = None
        self._unanswered = 0
        self._loop = asyncio.get_running_loop()
        self._trouble = ""

    async def keep_connected(self, take: Callable[[bytes], None]) -> NoReturn:
        """Do so for ever. ``take`` takes the batches that come."""
        pause = PAUSE_FIRST_S
        while True:
            # Jitter: nodes that lost a shard together do not come back together.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  # no secret
            pause = min(2 * pause, PAUSE_MOST_S)
            if self._is_near():
                continue
            try:
                if await self._stay_connected(take):
                    pause = PAUSE_FIRST_S
            except Exception as error:  # noqa: BLE001  # Ray's errors too: batches go by its calls meanwhile
                self._tell_once(f"{type(error).__name__}: {error}")

    def asks(self) -> None:
        """A heartbeat goes, by another way. May be called on another thread."""
        self._unanswered += 1
        if self._unanswered > SILENT_BEATS_MOST:
            # A path that was cut leaves a connection of which neither end hears for long that it is over.
            self._unanswered = 0
            self._loop.call_soon_threadsafe(self._give_up)

    def is_heard(self) -> None:
        """It was answered. May be called on another thread."""
        self._unanswered = 0

    def _give_up(self) -> None:
        if self._caller is not None:
            self._caller.abort()

    async def _stay_connected(self, take: Callable[[bytes], None]) -> bool:
        """Connect, and wait for the end of that; say whether anybody had invited this node."""
        # By Ray, after each loss: whom its cluster called dead is ended soon, and is to have no work.
        async with asyncio.timeout(INVITED_WITHIN_S):
            invitation = await self._invite()
        if invitation is None or invitation.host == self._host:
            return False
        self._caller = self._calls(invitation, take)
        try:
            link = await self._caller.connect()
            self._trouble = ""
            await self._caller.until_lost(link)
        finally:
            self._caller.abort()
        return True

    def _calls(self, invitation: Invitation, take: Callable[[bytes], None]) -> TcpCaller:
        gateway = Gateway(invitation.host, invitation.port, tls_to(invitation.certificate))
        hello = Hello(
            purpose=Purpose.BATCHES,
            token=invitation.token,
            region=SOMEBODY,
            node=SOMEBODY,
            incarnation=self._incarnation,
            software=VERSION,
        )
        return TcpCaller(gateway, hello, self.way, take=take)

    def _tell_once(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.warning("no connection to the shard, batches go over Ray: %s", trouble)
            self._trouble = trouble
