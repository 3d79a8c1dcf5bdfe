"""Customers, keys and the audit, as operators see them. Times are Unix ms."""

from collections.abc import Sequence
from typing import Any

from orchestrator.core.views import CustomerView
from orchestrator.domain.access.audit import AuditLine
from orchestrator.domain.ids import CustomerId
from orchestrator.ports.customers import ApiKey


def customers_document(customers: Sequence[CustomerView], next_cursor: str | None) -> dict[str, Any]:
    """Show a page of customers."""
    return {"customers": [_customer_document(each) for each in customers], "next_cursor": next_cursor}


def keys_document(keys: Sequence[ApiKey], next_cursor: str | None, now_ms: int) -> dict[str, Any]:
    """Show a page of keys; never the keys themselves."""
    return {"keys": [key_document(key, now_ms) for key in keys], "next_cursor": next_cursor}


def key_document(key: ApiKey, now_ms: int) -> dict[str, Any]:
    """Show what is known of a key. Its last use is kept to the hour."""
    return {
        "key_id": key.key_id,
        "customer_id": key.customer,
        "plan": key.plan,
        "role": key.role,
        "region": key.region,
        "label": key.label,
        "created_at": key.created_ms,
        "expires_at": key.expires_ms,
        "last_used_at": key.used_ms,
        "revoked_at": key.revoked_ms,
        "valid": key.is_valid(now_ms),
    }


def made_document(key: str, made: ApiKey) -> dict[str, Any]:
    """Show a new key, this once."""
    return {"api_key": key} | key_document(made, made.created_ms)


def revoked_document(key_id: str) -> dict[str, Any]:
    """Say that a key is revoked."""
    return {"key_id": key_id, "status": "revoked"}


def plan_document(customer: CustomerId, plan: str, keys: int) -> dict[str, Any]:
    """Say which plan a customer's keys have now, and how many those are."""
    return {"customer_id": customer, "plan": plan, "valid_keys": keys}


def audit_document(lines: Sequence[AuditLine], next_cursor: str | None) -> dict[str, Any]:
    """Show a page of the audit."""
    return {"audit": [_line_document(line) for line in lines], "next_cursor": next_cursor}


def _customer_document(customer: CustomerView) -> dict[str, Any]:
    return {
        "customer_id": customer.customer,
        "plans": [*customer.plans],
        "valid_keys": customer.keys,
        "last_used_at": customer.used_ms,
        "open_jobs": customer.open_jobs,
    }


def _line_document(line: AuditLine) -> dict[str, Any]:
    entry = line.entry
    return {
        "number": line.number,
        "at": entry.at_ms,
        "act": entry.act,
        "subject": entry.subject,
        "who": entry.who,
        "customer_id": entry.customer or None,
        "from": entry.origin,
        "detail": dict(entry.detail),
    }
