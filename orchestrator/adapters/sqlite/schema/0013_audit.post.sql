-- What operators did. Nothing of it is changed or forgotten: there is a line for each act, and those are few.
CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    act TEXT NOT NULL,
    subject TEXT NOT NULL,
    who TEXT NOT NULL, -- a key's id, or a user of the system
    customer TEXT NOT NULL, -- whose key that is
    origin TEXT NOT NULL, -- an address, or a machine
    detail TEXT NOT NULL -- JSON
)
