-- Regions that an operator has taken out of service. The version before would place work there again: it knows of no draining.
CREATE TABLE drains (
    region TEXT PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    drained_by TEXT NOT NULL -- a key's id
) WITHOUT ROWID
