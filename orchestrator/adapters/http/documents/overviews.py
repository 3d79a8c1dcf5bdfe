"""What a customer used and signs with, and which regions are up."""

from collections.abc import Sequence
from typing import Any

from orchestrator.core.views import NodeView, RegionView, UsageView
from orchestrator.domain.access.usage import CustomerUsage, DayUsage
from orchestrator.domain.ids import CustomerId, RegionName
from orchestrator.domain.webhooks.signing import mask
from orchestrator.ports.customers import WebhookSecrets


def usage_document(usage: UsageView, open_jobs_most: int) -> dict[str, Any]:
    """Show a customer's open jobs, their limit, and what was used by day."""
    return {
        "customer_id": usage.customer,
        "open_jobs": usage.open_jobs,
        "open_jobs_limit": open_jobs_most,
        "days": [_day_document(day) for day in usage.days],
    }


def most_used_document(customers: Sequence[CustomerUsage], days: int) -> dict[str, Any]:
    """Show who used most on the last ``days`` days."""
    return {
        "days": days,
        "customers": [{"customer_id": each.customer} | _counts_document(each.used) for each in customers],
    }


def regions_document(regions: Sequence[RegionView], default: RegionName) -> dict[str, Any]:
    """Show every region."""
    return {"default_region": default, "regions": [region_document(region) for region in regions]}


def secrets_document(customer: CustomerId, secrets: WebhookSecrets) -> dict[str, Any]:
    """Show signing secrets, masked."""
    return {
        "customer_id": customer,
        "primary_secret": mask(secrets.primary),
        "secondary_secret": mask(secrets.secondary) if secrets.secondary else None,
        "has_secondary": secrets.secondary is not None,
    }


def _day_document(usage: DayUsage) -> dict[str, Any]:
    return {"date": usage.date} | _counts_document(usage)


def _counts_document(usage: DayUsage) -> dict[str, Any]:
    return {
        "accepted": usage.accepted,
        "success": usage.success,
        "failed": usage.failed,
        "cancelled": usage.cancelled,
        "attempts": usage.attempts,
    }


def region_document(region: RegionView) -> dict[str, Any]:
    """Show how a region is and, of each of its nodes, where that runs and when it was heard last."""
    return {
        "region": region.name,
        "health": region.health,
        "draining_since": region.drain.at_ms if region.drain else None,
        "down_s": round(region.down_s, 3),
        "attempts_open": region.attempts_open,
        "bytes_open": region.bytes_open,
        "mean_attempt_s": region.mean_attempt_s,
        "reason": region.reason or None,
        "nodes": [_node_document(node) for node in region.nodes],
    }


def _node_document(node: NodeView) -> dict[str, Any]:
    placement = node.placement
    return {
        "node": node.name,
        "health": node.health,
        "reason": node.reason or None,
        "only_named": node.only_named,
        "host": placement.host or None if placement else None,
        "address": placement.address or None if placement else None,
        "version": placement.version or None if placement else None,
        "placement": placement.state if placement else None,
        "placement_since": placement.since_ms if placement else None,
        "heard_s": None if node.heard_s is None else round(node.heard_s, 3),
        "reached_s": None if node.reached_s is None else round(node.reached_s, 3),
    }
