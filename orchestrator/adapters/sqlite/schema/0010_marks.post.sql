-- A job that may be sent once has one attempt at a time, so it has one mark: of the latest that may have been sent. Nothing was in the table of before.
-- What jobs of before say of such attempts in their sealed column is marked here, too (marks.py): the version before reads no marks.
DROP TABLE marks;
CREATE TABLE marks (
    job_id TEXT PRIMARY KEY,
    attempt_id TEXT NOT NULL,
    step INTEGER NOT NULL,
    region TEXT NOT NULL,
    slot INTEGER NOT NULL, -- the target's
    epoch INTEGER NOT NULL -- of the shard that had it
) WITHOUT ROWID
