-- 0006_unread_indexes: without two indexes of the first schema that no statement reads by.
--
-- A chat is read by its session, in order of the position. An index on three roles tells next to nothing, and nothing
-- looks for messages of a time alone. Together they are a tenth of a database, and a part of the cost of every message.

DROP INDEX idx_chat_messages_timestamp;
DROP INDEX idx_chat_messages_role;

UPDATE migration_metadata SET schema_version = 6, last_updated_at = datetime('now') WHERE id = 1;
