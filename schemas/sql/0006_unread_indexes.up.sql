-- 0006_unread_indexes: drops two indexes of the first schema that no statement uses.
--
-- A chat is read by its session, in order of the position. An index on three roles selects too little, and nothing
-- searches for messages by time alone. Together they take a tenth of a database, and time for every message.

DROP INDEX idx_chat_messages_timestamp;
DROP INDEX idx_chat_messages_role;

UPDATE migration_metadata SET schema_version = 6, last_updated_at = datetime('now') WHERE id = 1;
