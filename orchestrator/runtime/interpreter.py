"""What each long-lived process of the service asks of its interpreter."""

import gc
import sys

YOUNG_OBJECTS = 20_000
YOUNG_PER_MIDDLE = 20
MIDDLE_PER_FULL = 50
SWITCH_EVERY_S = 0.000_5


def tune_interpreter() -> None:
    """Call it once everything is imported."""
    _spare_the_collector()
    _switch_threads_often()


def _spare_the_collector() -> None:
    """Keep the cyclic collector off what lives for ever, and let it come less often.

    With the interpreter's own limits an executor under load spent 17 % of its CPU time looking for cycles: a
    few hundred requests under way are enough young objects to start a collection every few of them. Reference
    counting frees nearly all of them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, YOUNG_PER_MIDDLE, MIDDLE_PER_FULL)


def _switch_threads_often() -> None:
    """Let a thread wait a tenth of the usual 5 ms for one that computes.

    A thread gives the interpreter's lock up in each call of SQLite or the system, and asks for it anew behind
    it. Beside an event loop that computed, a commit with ten such calls took 50 to 100 ms; others' jobs took
    176 ms (p99) beside thirty large results, and take 84.
    """
    sys.setswitchinterval(SWITCH_EVERY_S)
