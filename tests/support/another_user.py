"""What another user of the machine can do: tried by a process of such a one."""

import os
import traceback
from collections.abc import Callable

import pytest

NOBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")


def as_nobody(act: Callable[[], object]) -> None:
    """Run ``act`` in a process of a user without any rights, and raise what it raised, by name.

    It is forked, for that user may not be able to read an interpreter: ``act`` does without imports.
    """
    child = start_as_nobody(act)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, "see the traceback of the other user's process"


def start_as_nobody(act: Callable[[], object]) -> int:
    """Do the same beside this process; give the pid."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        act()
        code = 0
    except BaseException:  # noqa: BLE001  # whatever it was, this process has to end here
        traceback.print_exc()
    finally:
        os._exit(code)
