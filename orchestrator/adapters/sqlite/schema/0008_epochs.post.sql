-- The epoch has its own table; the row that tells keys apart stays.
INSERT INTO epochs (shard, epoch) SELECT 'shard-0', epoch FROM shard;
ALTER TABLE shard DROP COLUMN epoch
