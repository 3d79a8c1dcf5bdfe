"""The calls of operators: customers, keys, the log, the audit, and regions."""

from orchestrator.adapters.http.access import ADMIN
from orchestrator.adapters.http.admin_audit_routes import AdminAuditRoutes
from orchestrator.adapters.http.admin_customer_routes import AdminCustomerRoutes
from orchestrator.adapters.http.admin_key_routes import AdminKeyRoutes
from orchestrator.adapters.http.admin_region_routes import AdminRegionRoutes
from orchestrator.adapters.http.backend import Backend, paged
from orchestrator.adapters.http.calls.fields import CUSTOMER, PAGE, TIMES
from orchestrator.adapters.http.log_level_routes import LogLevelRoutes
from orchestrator.adapters.http.openapi import Calls
from orchestrator.adapters.http.schema import KeyIn, LogLevelIn, PlanIn


def add_administration(calls: Calls, backend: Backend) -> None:
    """Add what operators look at and set, but for jobs and domains."""
    _add_customers(calls, backend)
    levels, audit = LogLevelRoutes(backend), AdminAuditRoutes(backend)
    calls.add(f"GET {ADMIN}/log-level", levels.show)
    calls.add(f"PUT {ADMIN}/log-level", levels.set_level, body=LogLevelIn)
    calls.add(f"GET {ADMIN}/audit", paged(backend, audit.audit), query={**TIMES, **PAGE})
    regions = AdminRegionRoutes(backend)
    calls.add(f"GET {ADMIN}/regions", regions.show)
    for act in (regions.drain, regions.undrain):
        calls.add(f"POST {ADMIN}/regions/{{region}}:{act.__name__}", act, errors=(404,))


def _add_customers(calls: Calls, backend: Backend) -> None:
    customers, keys = AdminCustomerRoutes(backend), AdminKeyRoutes(backend)
    calls.add(f"GET {ADMIN}/customers", paged(backend, customers.customers), query=PAGE)
    calls.add(f"GET {ADMIN}/customers/{{customer_id}}", customers.customer, errors=(404,))
    plan = f"{ADMIN}/customers/{{customer_id}}/plan"
    calls.add(f"PUT {plan}", customers.set_plan, body=PlanIn, errors=(404,))
    calls.add(f"GET {ADMIN}/keys", paged(backend, keys.keys), query={"customer": CUSTOMER, **PAGE})
    calls.add(f"POST {ADMIN}/keys", keys.create_key, body=KeyIn, answers={201: "Made: shown this once"})
    calls.add(f"DELETE {ADMIN}/keys/{{key_id}}", keys.revoke_key, errors=(404,))
