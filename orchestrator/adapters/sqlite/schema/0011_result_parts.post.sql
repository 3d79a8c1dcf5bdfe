-- A result of more than a few hundred kilobytes is written in parts, each with a commit of its own, so that nobody's small write waits for all of it.
-- The row of the job has the first part, and how many bytes all of them have; null where the first is all. Parts count only for a job that has ended.
CREATE TABLE result_parts (
    job_id TEXT NOT NULL,
    number INTEGER NOT NULL, -- from 1
    part BLOB NOT NULL, -- sealed, as a whole with the others
    UNIQUE (job_id, number)
);
ALTER TABLE jobs ADD COLUMN result_bytes INTEGER
