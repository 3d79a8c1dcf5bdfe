"""A storm of refusals, and an outage: the service beside clients that retry by themselves."""
