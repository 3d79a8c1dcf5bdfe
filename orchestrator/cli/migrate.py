"""``ezthrottle migrate``: the schema of a data directory, brought up apart from the start of a service."""

from orchestrator.cli.client import AsJson, tell
from orchestrator.cli.directory import DEFAULT_DIR, DataDir, outcome_in


def migrate(data_dir: DataDir = DEFAULT_DIR, *, as_json: AsJson = False) -> None:
    """Bring the schema of a data directory up to this version's. 'serve' does so too when it starts."""
    from orchestrator.adapters.stores import upgrade_directory  # noqa: PLC0415  # serve needs no SQL here

    done = outcome_in(data_dir, lambda: upgrade_directory(data_dir), must_exist=True)
    is_new = done.before < done.after
    words = f"from schema {done.before} to {done.after}" if is_new else f"is up to date (schema {done.after})"
    document = {"status": "migrated" if is_new else "up_to_date", "from": done.before, "to": done.after}
    tell(document, f"{data_dir}: {words}", as_json=as_json)
