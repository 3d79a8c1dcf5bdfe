"""The product at work, from outside: ``python -m bench.demo``.

``scenarios`` says what is asked of a real service and what must come of it: a new one is a function
there and a line in its table. ``stage`` is what scenarios stand on; ``report`` and ``timeline`` show
what happened.
"""
