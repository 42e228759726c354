-- Undoes search_index_build.sql, even if only parts of it exist.

DROP TRIGGER IF EXISTS search_log_task_insert;
DROP TRIGGER IF EXISTS search_log_task_delete;
DROP TRIGGER IF EXISTS search_log_task_update;
DROP TRIGGER IF EXISTS search_log_message_insert;
DROP TRIGGER IF EXISTS search_log_message_delete;
DROP TRIGGER IF EXISTS search_log_message_update;
DROP TRIGGER IF EXISTS search_log_output_insert;
DROP TRIGGER IF EXISTS search_log_output_delete;
DROP TRIGGER IF EXISTS search_log_output_update;
DROP TABLE IF EXISTS search_changed;
DROP TABLE IF EXISTS search_ahead;
