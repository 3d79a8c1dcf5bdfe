"""Regions that an operator has taken out of service: nothing new goes there, and what runs there ends."""

from msgspec import Struct


class Drain(Struct, frozen=True):
    """That a region drains: since when (Unix ms), and the id of the key that said so."""

    at_ms: int
    by: str
