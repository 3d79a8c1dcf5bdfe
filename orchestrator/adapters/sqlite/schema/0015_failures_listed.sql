-- Lists of what failed or was cancelled, whatever the reason: looked for among those alone, and not among a million that went well.
-- It costs nothing to who goes well. A job of before whose result could not be read has no code.
INSERT OR IGNORE INTO failures SELECT id, customer, '', accepted_ms FROM jobs WHERE state IN ('failed', 'cancelled');
CREATE INDEX failures_listed ON failures (customer, accepted_ms, job_id)
