"""Which slot a target is in. Slots are what shards share out among each other."""

from zlib import crc32

from orchestrator.domain.ids import TargetDomain

SLOTS = 128
"""Rows name slots, so this can't change without moving them all."""


def slot_of(domain: TargetDomain) -> int:
    """Say in which slot a target is, in every process and version the same: its name's CRC-32, mod 128."""
    return crc32(domain.encode()) % SLOTS
