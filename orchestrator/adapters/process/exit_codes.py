"""The words between ``serve``, the driver below it and the shard: exit codes of sysexits.h."""

import os
from enum import IntEnum


class ExitCode(IntEnum):
    """Why a process of the service ended by itself."""

    FAULT = os.EX_SOFTWARE
    """A shard can't go on; its truth is on disk, and another start may."""
    LOST = os.EX_TEMPFAIL
    """A part that nothing below the driver starts again is gone; another start may mend it."""
    SPENT = os.EX_UNAVAILABLE
    """A part died again and again; another start would only repeat that."""
    CONFIG = os.EX_CONFIG
    """Something that another start would not mend."""
