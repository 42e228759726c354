-- Undoes 0006_unread_indexes.

CREATE INDEX idx_chat_messages_timestamp ON chat_messages(timestamp);
CREATE INDEX idx_chat_messages_role ON chat_messages(role);

UPDATE migration_metadata SET schema_version = 5, last_updated_at = datetime('now') WHERE id = 1;
