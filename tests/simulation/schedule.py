"""The webhook schedule of a run: 24 hours of heartbeats would cost more than they show."""

from orchestrator.domain.webhooks.fanout import Schedule

OFFSETS_S = (0, 1, 4, 10, 30, 60)
SHORT_SCHEDULE = Schedule(offsets_s=OFFSETS_S)
