"""How many heaps a process has: told to it before it begins, read when it sets up its allocator."""

HEAPS_MOST = "MALLOC_ARENA_MAX"
"""glibc's variable (mallopt(3), M_ARENA_MAX)."""
