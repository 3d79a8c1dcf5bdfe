"""``python -m orchestrator`` is the ``ezthrottle`` command."""

from orchestrator.cli import main

main()
