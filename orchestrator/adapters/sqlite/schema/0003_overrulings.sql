-- What the operator said of a domain. It stays until it is lifted, whether anybody calls that domain or not.
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
-- An admin's list is of all customers' domains, by name.
CREATE INDEX customer_domains_by_name ON customer_domains (domain);
