"""Where this machine's webhook server is, and how a webhook names what waits for it."""

DEFAULT_WEBHOOK_PORT = 5000
WEBHOOK = "/webhook"
WORKFLOW = "workflow"
"""The parameter that names what waits for a job, where the job's id was not known before."""
