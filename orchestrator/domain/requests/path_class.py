"""Which requests are alike: those of one method and path, whatever ids stand in it."""

import re
from functools import lru_cache
from sys import intern
from typing import NewType

PathClass = NewType("PathClass", str)
"""A method and a path with ``*`` for each variable part: ``POST /orders/*``. Empty where it is not known."""
UNKNOWN_PATH = PathClass("")
SUSPECTS = PathClass("?")
"""Stands for the path class of whoever is only suspect of being refused whatever the rate."""
PARTS_MOST = 12
"""What comes deeper in a path is not told apart."""
LONGEST_NAME = 32
"""No word is so long: it is an id."""
DIGITS_OF_AN_ID = 4
PATHS_REMEMBERED = 1024

_VERSION = re.compile(r"v\d{1,3}(\.\d{1,3})?\Z", re.ASCII | re.IGNORECASE)
_BEHIND = re.compile(r"[?#]")
_DIGIT = re.compile(r"\d")


@lru_cache(PATHS_REMEMBERED)
def path_class(method: str, url: str) -> PathClass:
    """Name the class of a request; equal names are one object, for they are kept by the million."""
    # The URL is checked already: taking it apart whole costs more than all the rest.
    path = _BEHIND.split(url.partition("://")[2], 1)[0].partition("/")[2]
    parts = path.split("/")[:PARTS_MOST]
    return PathClass(intern(f"{method} /" + "/".join("*" if _varies(part) else part for part in parts)))


def _varies(part: str) -> bool:
    """Whether a part of a path names one thing of many: a number, a hash, a UUID, or a word with a number."""
    if len(part) > LONGEST_NAME:
        return True
    digits = len(_DIGIT.findall(part))
    return digits > 0 and (digits >= DIGITS_OF_AN_ID or 2 * digits >= len(part)) and not _VERSION.match(part)
