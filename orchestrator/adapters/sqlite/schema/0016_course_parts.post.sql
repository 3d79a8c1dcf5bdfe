-- How far a job is that keeps large answers, as a fan-out does, is written in parts, as a large result is: each has a commit of its own.
-- The job's row has the first part, how many bytes all of them have, and the number of the second; nulls where the first is all.
CREATE TABLE course_parts (
    job_id TEXT NOT NULL,
    number INTEGER NOT NULL, -- grows: the next course of a job is written beside the one that it takes the place of
    part BLOB NOT NULL, -- sealed, as a whole with the others
    UNIQUE (job_id, number)
);
-- Jobs whose results are past their keeping, and have parts that are still to be dropped, a few in each commit.
CREATE TABLE parts_left (job_id TEXT PRIMARY KEY) WITHOUT ROWID;
ALTER TABLE jobs ADD COLUMN run_bytes INTEGER;
ALTER TABLE jobs ADD COLUMN run_second INTEGER
