"""The ``ezthrottle`` command."""
