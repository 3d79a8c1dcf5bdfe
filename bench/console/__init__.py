"""The console over a full data directory: what its pages cost, and what they cost the jobs."""
