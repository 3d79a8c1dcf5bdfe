"""How it goes for those who connect to the door for agents."""

import logging
from collections.abc import Callable
from enum import StrEnum

log = logging.getLogger(__name__)


class Visit(StrEnum):
    """What became of one who connected."""

    LET_IN = "let in"
    REFUSED = "refused"
    """It said who it is, and may not come in."""
    SILENT = "silent"
    """It did not say who it is in time, or others came and took its place."""
    HUNG_UP_ON = "hung up on"
    """It said what nobody may say, known or not."""
    UNDECIDED = "undecided"
    """Nobody could say whether it may come in."""


Tell = Callable[[Visit, str], None]
"""Takes word of a visit: what became of it, and a line for people."""


def tell_all(visit: Visit, line: str) -> None:
    """Write a line of each: for where nobody unknown can come."""
    log.log(logging.INFO if visit is Visit.LET_IN else logging.WARNING, "%s", line)
