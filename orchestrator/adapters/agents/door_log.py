"""What is told of those who come to the door for agents: all are counted, and some have a line in the log.

Whoever reaches the port can come as often as he likes: what he costs here has to be bounded.
"""

import logging
import time
from collections.abc import Callable

from orchestrator.domain.line_budget import LineBudget, new_budget, spend_line
from orchestrator.transport.visits import Visit

LINES_AT_ONCE = 100
"""A region's agents may all come back at once."""
LINES_PER_S = 0.2

log = logging.getLogger(__name__)


class DoorLog:
    """Takes word of visits.

    Args:
        count: Counts each.
        now: Monotonic seconds.
    """

    def __init__(self, count: Callable[[Visit], None], now: Callable[[], float] = time.monotonic) -> None:
        self._count = count
        self._now = now
        # Those that fail to come in leave room for a word of those that do.
        self._budgets: dict[bool, LineBudget] = {
            welcome: new_budget(LINES_AT_ONCE, LINES_PER_S, now()) for welcome in (True, False)
        }

    def tell(self, visit: Visit, line: str) -> None:
        """Count a visit, and write a line of it if there is room for one."""
        self._count(visit)
        welcome = visit is Visit.LET_IN
        self._budgets[welcome], kept_back = spend_line(self._budgets[welcome], self._now())
        if kept_back is None:
            return
        more = f" ({kept_back} lines like this one were left out before it)" if kept_back else ""
        log.log(logging.INFO if welcome else logging.WARNING, "%s%s", line, more)
