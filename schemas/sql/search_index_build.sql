-- Logs what changes while many texts are indexed in bulk (migrator/search/building/bulk.py). These tables and triggers
-- exist only meanwhile: search_index_build_drop.sql drops them.

-- Up to these rowids the builder reads; what comes later is indexed afterwards.
CREATE TABLE search_ahead (
    tasks_to       INTEGER NOT NULL,
    messages_to    INTEGER NOT NULL,
    outputs_to     INTEGER NOT NULL
) STRICT;
-- Of each row that changed, the text that it had when the build began; NULL if it had none, or did not exist.
CREATE TABLE search_changed (
    id             INTEGER PRIMARY KEY,
    text           TEXT
) STRICT;

-- Only the first change of a row is logged. Not by INSERT OR IGNORE: the app's own statement may have an OR that would
-- take precedence.
CREATE TRIGGER search_log_task_insert AFTER INSERT ON sessions
WHEN new.rowid > (SELECT tasks_to FROM search_index)
  AND new.rowid <= (SELECT tasks_to FROM search_ahead) BEGIN
    INSERT INTO search_changed (id, text)
    SELECT new.rowid, NULL
    WHERE NOT EXISTS (SELECT 1 FROM search_changed WHERE id = new.rowid);
END;
CREATE TRIGGER search_log_task_delete AFTER DELETE ON sessions
WHEN old.rowid > (SELECT tasks_to FROM search_index)
  AND old.rowid <= (SELECT tasks_to FROM search_ahead) BEGIN
    INSERT INTO search_changed (id, text)
    SELECT old.rowid, old.task
    WHERE NOT EXISTS (SELECT 1 FROM search_changed WHERE id = old.rowid);
END;
CREATE TRIGGER search_log_task_update AFTER UPDATE OF task ON sessions
WHEN old.task IS NOT new.task AND old.rowid > (SELECT tasks_to FROM search_index)
  AND old.rowid <= (SELECT tasks_to FROM search_ahead) BEGIN
    INSERT INTO search_changed (id, text)
    SELECT old.rowid, old.task
    WHERE NOT EXISTS (SELECT 1 FROM search_changed WHERE id = old.rowid);
END;

CREATE TRIGGER search_log_message_insert AFTER INSERT ON chat_messages
WHEN new.rowid > (SELECT messages_to FROM search_index)
  AND new.rowid <= (SELECT messages_to FROM search_ahead) BEGIN
    INSERT INTO search_changed (id, text)
    SELECT (1 << 40) + new.rowid, NULL
    WHERE NOT EXISTS (SELECT 1 FROM search_changed WHERE id = (1 << 40) + new.rowid);
END;
CREATE TRIGGER search_log_message_delete AFTER DELETE ON chat_messages
WHEN old.rowid > (SELECT messages_to FROM search_index)
  AND old.rowid <= (SELECT messages_to FROM search_ahead) BEGIN
    INSERT INTO search_changed (id, text)
    SELECT (1 << 40) + old.rowid, old.content
    WHERE NOT EXISTS (SELECT 1 FROM search_changed WHERE id = (1 << 40) + old.rowid);
END;
CREATE TRIGGER search_log_message_update AFTER UPDATE OF content ON chat_messages
WHEN old.content IS NOT new.content AND old.rowid > (SELECT messages_to FROM search_index)
  AND old.rowid <= (SELECT messages_to FROM search_ahead) BEGIN
    INSERT INTO search_changed (id, text)
    SELECT (1 << 40) + old.rowid, old.content
    WHERE NOT EXISTS (SELECT 1 FROM search_changed WHERE id = (1 << 40) + old.rowid);
END;

CREATE TRIGGER search_log_output_insert AFTER INSERT ON instances
WHEN new.id > (SELECT outputs_to FROM search_index)
  AND new.id <= (SELECT outputs_to FROM search_ahead) BEGIN
    INSERT INTO search_changed (id, text)
    SELECT (1 << 41) + new.id, NULL
    WHERE NOT EXISTS (SELECT 1 FROM search_changed WHERE id = (1 << 41) + new.id);
END;
CREATE TRIGGER search_log_output_delete AFTER DELETE ON instances
WHEN old.id > (SELECT outputs_to FROM search_index)
  AND old.id <= (SELECT outputs_to FROM search_ahead) BEGIN
    INSERT INTO search_changed (id, text)
    SELECT (1 << 41) + old.id, old.output
    WHERE NOT EXISTS (SELECT 1 FROM search_changed WHERE id = (1 << 41) + old.id);
END;
CREATE TRIGGER search_log_output_update AFTER UPDATE OF output ON instances
WHEN old.output IS NOT new.output AND old.id > (SELECT outputs_to FROM search_index)
  AND old.id <= (SELECT outputs_to FROM search_ahead) BEGIN
    INSERT INTO search_changed (id, text)
    SELECT (1 << 41) + old.id, old.output
    WHERE NOT EXISTS (SELECT 1 FROM search_changed WHERE id = (1 << 41) + old.id);
END;
