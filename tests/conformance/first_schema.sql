-- The schema of the first version: what a directory that it made looks like.

CREATE TABLE IF NOT EXISTS shard (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    epoch INTEGER NOT NULL,
    key_check BLOB NOT NULL -- sealed: a wrong encryption key stops the start
);

CREATE TABLE IF NOT EXISTS jobs (
    id TEXT NOT NULL UNIQUE,
    customer TEXT NOT NULL,
    domain TEXT NOT NULL,
    state TEXT NOT NULL,
    order_key INTEGER NOT NULL,
    not_before_ms INTEGER NOT NULL,
    accepted_ms INTEGER NOT NULL,
    deadline_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    idem_key TEXT NOT NULL,
    idem_holds INTEGER NOT NULL, -- 1 while the key answers "duplicate"
    fingerprint BLOB NOT NULL,
    request BLOB NOT NULL, -- sealed
    run BLOB, -- sealed
    result BLOB -- sealed
);
CREATE UNIQUE INDEX IF NOT EXISTS jobs_key ON jobs (customer, idem_key) WHERE idem_holds = 1;
CREATE INDEX IF NOT EXISTS jobs_open ON jobs (deadline_ms) WHERE ended_ms IS NULL;
CREATE INDEX IF NOT EXISTS jobs_ended ON jobs (ended_ms) WHERE ended_ms IS NOT NULL;

CREATE TABLE IF NOT EXISTS deliveries (
    job_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    id TEXT NOT NULL,
    customer TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    first_ms INTEGER,
    next_ms INTEGER NOT NULL,
    log BLOB NOT NULL,
    PRIMARY KEY (job_id, position)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS deliveries_pending ON deliveries (next_ms) WHERE state = 'pending';

CREATE TABLE IF NOT EXISTS paces (
    domain TEXT PRIMARY KEY,
    rps REAL NOT NULL,
    max_concurrent INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS webhook_secrets (
    customer TEXT PRIMARY KEY,
    secrets BLOB NOT NULL -- sealed
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS api_keys (
    key_hash BLOB PRIMARY KEY, -- SHA-256: keys are random, so a slow hash would only invite a flood
    key_id TEXT NOT NULL UNIQUE,
    customer TEXT NOT NULL,
    plan TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    revoked_ms INTEGER
) WITHOUT ROWID;
