BEGIN TRANSACTION;
CREATE TABLE api_keys (
    key_hash BLOB PRIMARY KEY, -- SHA-256: keys are random, so a slow hash would only invite a flood
    key_id TEXT NOT NULL UNIQUE,
    customer TEXT NOT NULL,
    plan TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    revoked_ms INTEGER
, role TEXT NOT NULL DEFAULT 'submit', region TEXT) WITHOUT ROWID;
INSERT INTO "api_keys" VALUES(X'0460A1E4DCAEEFC52F4461E4D9DA72D098EEB7AD6640F05A695B094827DFAC40','schema11gone','cust_acme','pro',1763674210055,1763674210060,'submit',NULL);
INSERT INTO "api_keys" VALUES(X'3E5019F46F6F7A948DBCB70D5CD3AC33D9C029CA216B0A180F06AEEA605ED5A5','schema11admin','cust_ops','pro',1763674210056,NULL,'admin',NULL);
INSERT INTO "api_keys" VALUES(X'85B5A5AD23A92B6BDE6CBF3AEA91460B382A388B245C88A013DF6B8B74FD1FF0','schema11region','regions','pro',1763674210057,NULL,'region','fra');
INSERT INTO "api_keys" VALUES(X'B5D2A5071E1951E88CB946AB36A835A0C116F3AAAFD6CF8AED12D1026829F246','schema11submit','cust_acme','pro',1763674210055,NULL,'submit',NULL);
CREATE TABLE beats (
    shard TEXT PRIMARY KEY,
    beat INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE customer_domains (
    customer TEXT NOT NULL,
    domain TEXT NOT NULL,
    used_day INTEGER NOT NULL,
    PRIMARY KEY (customer, domain)
) WITHOUT ROWID;
CREATE TABLE deliveries (
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
CREATE TABLE encryption_keys (
    key_id BLOB PRIMARY KEY
) WITHOUT ROWID
;
INSERT INTO "encryption_keys" VALUES(X'14AF653C');
CREATE TABLE epochs (
    shard TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO "epochs" VALUES('shard-0',1);
CREATE TABLE failures (
    job_id TEXT PRIMARY KEY,
    customer TEXT NOT NULL,
    code TEXT NOT NULL, -- why the job failed, or that it was cancelled
    accepted_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE jobs (
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
, result_bytes INTEGER);
INSERT INTO "jobs" VALUES('job_1763674210055_000001','cust_acme','api.example.com','queued',1763673910055,1763674210055,1763674210055,1764279010055,NULL,'key-1',1,X'63196D0CB0A200C13C08E10CD882685A39F1C87CBEB2FE7A987717008D8F8614',X'0114AF653C3A7B69B4C16074DC0EF9406E1DB78026A27318C08A51AF83ADB71FCB85DEE1B68808A05AD73284CBF16DA6E8BADB935CE8F72450F3698566719FC838FF63793324C8C1249C407D3E092C3FB081AB5BDCD73719A0F5FF5779D61F9E4B05BEC0',NULL,NULL,NULL,NULL,NULL);
CREATE TABLE lessons (
    domain TEXT PRIMARY KEY,
    learned BLOB NOT NULL, -- sealed: it names accounts
    used_day INTEGER NOT NULL -- of its last job, since 1970, UTC
) WITHOUT ROWID;
CREATE TABLE marks (
    job_id TEXT PRIMARY KEY,
    attempt_id TEXT NOT NULL,
    step INTEGER NOT NULL,
    region TEXT NOT NULL,
    slot INTEGER NOT NULL, -- the target's
    epoch INTEGER NOT NULL -- of the shard that had it
) WITHOUT ROWID
;
CREATE TABLE overrulings (
    domain TEXT PRIMARY KEY,
    rps REAL,
    max_concurrent INTEGER,
    until_ms INTEGER,
    set_ms INTEGER, -- null where no pace is set
    set_by TEXT,
    paused_ms INTEGER, -- null where it is not paused
    paused_by TEXT
) WITHOUT ROWID;
INSERT INTO "overrulings" VALUES('api.example.com',7.0,NULL,NULL,1763674210055,'schema11admin',1763674210055,'schema11admin');
CREATE TABLE result_parts (
    job_id TEXT NOT NULL,
    number INTEGER NOT NULL, -- from 1
    part BLOB NOT NULL, -- sealed, as a whole with the others
    UNIQUE (job_id, number)
);
CREATE TABLE schema_steps (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL -- 'pre': the version before goes on with it; 'post': it does not
);
INSERT INTO "schema_steps" VALUES(7,'pre');
INSERT INTO "schema_steps" VALUES(8,'post');
INSERT INTO "schema_steps" VALUES(9,'pre');
INSERT INTO "schema_steps" VALUES(10,'post');
INSERT INTO "schema_steps" VALUES(11,'post');
CREATE TABLE shard (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    key_check BLOB NOT NULL -- sealed: a wrong encryption key stops the start
);
INSERT INTO "shard" VALUES(1,X'0114AF653C3A7B69B4C16074DC0EF9406CEF862B8595DE9074B24BA959A62357C889A958D296C091C56F24FC977C25D4A2FE87D1DCBB98A8F381B23D8DEA7911FE5E589EF2455A51');
CREATE TABLE slots (
    slot INTEGER PRIMARY KEY CHECK (slot BETWEEN 0 AND 127),
    shard TEXT NOT NULL
);
CREATE TABLE usage (
    customer TEXT NOT NULL,
    day INTEGER NOT NULL, -- since 1970, UTC
    accepted INTEGER NOT NULL,
    success INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    PRIMARY KEY (customer, day)
) WITHOUT ROWID;
CREATE TABLE webhook_secrets (
    customer TEXT PRIMARY KEY,
    secrets BLOB NOT NULL -- sealed
) WITHOUT ROWID;
INSERT INTO "webhook_secrets" VALUES('cust_acme',X'0114AF653C3A7B69B4C16074DC0EF9406D3A5E9A669EB9D3E0DAF81987217FCBB45D893AC22E264EF637BF3C9A7E1937FCF2DD463108ECFF');
CREATE UNIQUE INDEX jobs_key ON jobs (customer, idem_key) WHERE idem_holds = 1;
CREATE INDEX jobs_open ON jobs (deadline_ms) WHERE ended_ms IS NULL;
CREATE INDEX jobs_kept ON jobs (ended_ms) WHERE result IS NOT NULL;
CREATE INDEX jobs_forgotten ON jobs (ended_ms) WHERE ended_ms IS NOT NULL AND result IS NULL;
CREATE INDEX jobs_key_held ON jobs (ended_ms) WHERE ended_ms IS NOT NULL AND idem_holds = 1;
CREATE INDEX deliveries_dead ON deliveries (customer, next_ms, id) WHERE state = 'failed';
CREATE INDEX deliveries_dead_at ON deliveries (customer, endpoint, next_ms, id)
       WHERE state = 'failed';
CREATE INDEX lessons_used ON lessons (used_day);
CREATE INDEX customer_domains_used ON customer_domains (used_day);
CREATE INDEX customer_domains_by_name ON customer_domains (domain);
CREATE INDEX jobs_listed ON jobs (customer, accepted_ms, id, state, not_before_ms, domain);
CREATE INDEX jobs_key_freed ON jobs (customer, idem_key) WHERE idem_holds = 0;
CREATE INDEX failures_by_code ON failures (customer, code, accepted_ms, job_id);
CREATE INDEX deliveries_pending_at ON deliveries (customer, endpoint, next_ms, id, first_ms)
    WHERE state = 'pending'
;
WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < 127) INSERT INTO "slots" SELECT n, 'shard-0' FROM s;
COMMIT;
PRAGMA user_version = 11;
