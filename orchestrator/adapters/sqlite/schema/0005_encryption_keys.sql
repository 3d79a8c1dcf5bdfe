-- The keys that rows may be sealed with, by id: one that is missing in the key file is no damaged row.
CREATE TABLE IF NOT EXISTS encryption_keys (
    key_id BLOB PRIMARY KEY
) WITHOUT ROWID
