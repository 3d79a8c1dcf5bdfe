-- Which region a key of the role region lets its holder be. Who has none is no region's.
ALTER TABLE api_keys ADD COLUMN region TEXT
