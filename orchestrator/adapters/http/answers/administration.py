"""Answers to operators."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from orchestrator.adapters.http.answers.common import Count, Cursor, UnixMs
from orchestrator.domain.access.audit import Act
from orchestrator.domain.access.roles import Role
from orchestrator.runtime.log_levels import Component, LogLevel


class Customer(BaseModel):
    """Who has, or had, a key."""

    customer_id: str
    plans: list[str]
    valid_keys: Count
    last_used_at: UnixMs | None
    open_jobs: Count


class CustomerPage(BaseModel):
    """A page of customers."""

    customers: list[Customer]
    next_cursor: Cursor


class CustomerPlan(BaseModel):
    """Which plan a customer's valid keys have, and how many those are."""

    customer_id: str
    plan: str
    valid_keys: Count


class Key(BaseModel):
    """What is known of a key; never the key itself."""

    key_id: str
    customer_id: str
    plan: str
    role: Role
    region: str | None
    label: str
    created_at: UnixMs
    expires_at: UnixMs | None
    last_used_at: Annotated[UnixMs | None, Field(description="To the hour")]
    revoked_at: UnixMs | None
    valid: bool


class NewKey(Key):
    """A new key, shown this once."""

    api_key: str


class KeyPage(BaseModel):
    """A page of keys."""

    keys: list[Key]
    next_cursor: Cursor


class RevokedKey(BaseModel):
    """A key that works no longer."""

    key_id: str
    status: Literal["revoked"]


class LogLevels(BaseModel):
    """From which level on each part logs."""

    levels: dict[Component, LogLevel]


class AuditLine(BaseModel):
    """Who did what, when and from where."""

    number: Count
    at: UnixMs
    act: Act
    subject: str
    who: str
    customer_id: str | None
    origin: Annotated[str, Field(alias="from")]
    detail: dict[str, Any]


class AuditPage(BaseModel):
    """A page of the audit, newest first."""

    audit: list[AuditLine]
    next_cursor: Cursor


class InnerAnswer(BaseModel):
    """What the wrapped call was answered."""

    status_code: int
    headers: dict[str, str]
    body: str


class EnvelopeAnswer(BaseModel):
    """An envelope that was let through."""

    status: Literal["allowed"]
    forwarded_response: InnerAnswer


class EnvelopeDenied(BaseModel):
    """An envelope over a limit."""

    status: Literal["denied"]
    error: str
    retry_at: UnixMs
