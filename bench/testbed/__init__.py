"""A WAN of machines on one machine: each a set of Linux namespaces, joined by a router in user space.

`python -m bench.testbed up` makes one to try things on; `Testbed` in `bed.py` is what tests use.
"""
