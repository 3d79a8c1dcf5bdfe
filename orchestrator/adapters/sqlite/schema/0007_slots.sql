-- Who has which targets. Domains hash to 128 slots, and a slot has one shard; with SQLite one shard has them all, and the lock of the data directory is its lease.
CREATE TABLE slots (
    slot INTEGER PRIMARY KEY CHECK (slot BETWEEN 0 AND 127),
    shard TEXT NOT NULL
);
INSERT INTO slots (slot, shard)
    WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 127) SELECT i, 'shard-0' FROM n;

-- A shard's fencing number: changed by take-over only. Its beat, which changes each second, is a row elsewhere, so that no beat waits for a group commit.
CREATE TABLE epochs (
    shard TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE beats (
    shard TEXT PRIMARY KEY,
    beat INTEGER NOT NULL
) WITHOUT ROWID;

-- What may be sent once was about to be: written by the target's shard, under its epoch, before dispatch.
CREATE TABLE marks (
    job_id TEXT NOT NULL,
    attempt_id TEXT NOT NULL,
    slot INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    PRIMARY KEY (job_id, attempt_id)
) WITHOUT ROWID;

-- Steps of the schema from here on, as they were taken: a version that lacks some of them may still open what has only additions.
CREATE TABLE schema_steps (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL -- 'pre': the version before goes on with it; 'post': it does not
)
