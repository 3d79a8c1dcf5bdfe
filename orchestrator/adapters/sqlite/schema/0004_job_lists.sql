-- Lists with filters: what they are filtered by stands in an index, so that no row is opened for a job that does not fit.

DROP INDEX IF EXISTS jobs_newest;
CREATE INDEX jobs_listed ON jobs (customer, accepted_ms, id, state, not_before_ms, domain);
CREATE INDEX jobs_key_freed ON jobs (customer, idem_key) WHERE idem_holds = 0;

CREATE TABLE failures (
    job_id TEXT PRIMARY KEY,
    customer TEXT NOT NULL,
    code TEXT NOT NULL, -- why the job failed, or that it was cancelled
    accepted_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX failures_by_code ON failures (customer, code, accepted_ms, job_id);

DROP INDEX IF EXISTS deliveries_pending;
CREATE INDEX deliveries_pending_at ON deliveries (customer, endpoint, next_ms, id, first_ms)
    WHERE state = 'pending'
