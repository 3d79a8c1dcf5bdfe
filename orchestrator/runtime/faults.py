"""What nobody foresaw, in one request."""

import logging
import traceback

from orchestrator.domain.errors import InternalFault

log = logging.getLogger(__name__)


def internal_fault(error: Exception) -> InternalFault:
    """Log where an error came from, without what it says: that may be a customer's. Give what the customer
    is told.
    """
    where = "".join(traceback.format_tb(error.__traceback__))
    log.error("a request met a %s\n%s", type(error).__name__, where)
    return InternalFault("the service met an error of its own; its place is in the operator's log")
