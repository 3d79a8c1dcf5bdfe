"""Who calls, and what a key may do."""

from enum import StrEnum

from msgspec import Struct

from orchestrator.domain.ids import CustomerId


class Role(StrEnum):
    """What an API key is for. Which routes each may use stands in ``adapters/http/access.py``."""

    SUBMIT = "submit"
    """A customer's own: jobs, webhooks, secrets, and what concerns them."""
    READ = "read"
    """A customer's own, to look at: bodies of requests and answers are left out."""
    ADMIN = "admin"
    """All customers, and the acts that change how the service runs."""
    REGION = "region"
    """None of that: its holder may be a region, and do what this service sends there."""


class Caller(Struct, frozen=True):
    """Whose key a call carries, its role, and its id, which is no secret: acts are logged by it."""

    customer: CustomerId
    role: Role = Role.SUBMIT
    key_id: str = ""
    origin: str = ""
    """The address that the call came from, where that is asked for."""

    @property
    def admin(self) -> bool:
        """Whether all customers' targets may be seen and changed."""
        return self.role is Role.ADMIN

    @property
    def sees_bodies(self) -> bool:
        """Whether bodies of requests and answers may be shown."""
        return self.role is not Role.READ
