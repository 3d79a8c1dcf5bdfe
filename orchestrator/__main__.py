"""``python -m orchestrator`` is the ``ezthrottle`` command."""

from orchestrator.cli.app import main

main()
