-- What people call a key, until when it is valid, and in which hour it was last used. The version before would go on taking a key past its expiry,
-- and one of the role read for one that submits: so nothing of that version may have the directory.
ALTER TABLE api_keys ADD COLUMN label TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN expires_ms INTEGER;
ALTER TABLE api_keys ADD COLUMN used_ms INTEGER
