-- What a key may do. Those of before are their customers' own.
ALTER TABLE api_keys ADD COLUMN role TEXT NOT NULL DEFAULT 'submit';
