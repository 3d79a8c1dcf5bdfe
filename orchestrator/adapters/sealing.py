"""What sealed columns are bound to, so that none opens in another's place; stores share it."""


def sealing_context(customer: str, job_id: str, column: str) -> str:
    """Say what a sealed column of a job is bound to."""
    return f"{customer}|jobs|{job_id}|{column}"


def paces_context(domain: str) -> str:
    """Say what a sealed row about a target is bound to."""
    return f"{domain}|paces"


def secrets_context(customer: str) -> str:
    """Say what a customer's sealed secrets are bound to."""
    return f"{customer}|webhook_secrets"
