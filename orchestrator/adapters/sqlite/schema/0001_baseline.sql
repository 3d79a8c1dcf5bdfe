-- One shard's truth. Times are Unix ms; sealed columns hold ciphertext, bound to owner, row and column.

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
    result BLOB, -- sealed
    quorum BLOB, -- msgpack [quorum, [has a vote, …]]; once the payload is forgotten, how the deliveries ended
    queued_as BLOB -- sealed: account and cost, where the job has an account or a cost of its own
);
CREATE UNIQUE INDEX IF NOT EXISTS jobs_key ON jobs (customer, idem_key) WHERE idem_holds = 1;
CREATE INDEX IF NOT EXISTS jobs_newest ON jobs (customer, accepted_ms, id);
CREATE INDEX IF NOT EXISTS jobs_open ON jobs (deadline_ms) WHERE ended_ms IS NULL;
DROP INDEX IF EXISTS jobs_ended;
CREATE INDEX IF NOT EXISTS jobs_kept ON jobs (ended_ms) WHERE result IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_forgotten ON jobs (ended_ms) WHERE ended_ms IS NOT NULL AND result IS NULL;
CREATE INDEX IF NOT EXISTS jobs_key_held ON jobs (ended_ms) WHERE ended_ms IS NOT NULL AND idem_holds = 1;

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
    endpoint TEXT NOT NULL, -- the receiver's host and port
    PRIMARY KEY (job_id, position)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS deliveries_pending ON deliveries (next_ms) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS deliveries_dead ON deliveries (customer, next_ms, id) WHERE state = 'failed';

CREATE TABLE IF NOT EXISTS lessons (
    domain TEXT PRIMARY KEY,
    learned BLOB NOT NULL, -- sealed: it names accounts
    used_day INTEGER NOT NULL -- of its last job, since 1970, UTC
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS customer_domains (
    customer TEXT NOT NULL,
    domain TEXT NOT NULL,
    used_day INTEGER NOT NULL,
    PRIMARY KEY (customer, domain)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS usage (
    customer TEXT NOT NULL,
    day INTEGER NOT NULL, -- since 1970, UTC
    accepted INTEGER NOT NULL,
    success INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    PRIMARY KEY (customer, day)
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
