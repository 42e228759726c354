-- The index for full-text search. It is not a numbered step: users can build and drop it at any time.
--
-- Every text is in one of two tables. search_words has the words of texts whose scripts put spaces between words.
-- search_grams has all trigrams (three successive characters) of texts with other scripts, such as Japanese, Chinese,
-- Korean and Thai. Neither table stores the texts. Rowids: a task has the rowid of its session, a message 2^40 + its
-- rowid, an output 2^41 + the rowid of its instance.

-- "using" is in lower case: an SQL engine that does not know FTS5, and recognizes virtual tables by these words, refuses
-- the file instead of writing to it. columnsize stays on: without it, tools that count or read every table fail.
CREATE VIRTUAL TABLE search_words using fts5(text, content = '', tokenize = 'unicode61 remove_diacritics 2');
-- detail = none: positions would make the table four times as large, and the texts themselves show them.
CREATE VIRTUAL TABLE search_grams using fts5(text, content = '', detail = none, tokenize = 'trigram');

-- An INSERT into search_change adds a text to the index, or removes it (gone). The views store nothing: the trigger of
-- each view passes the text on to the next one.
CREATE VIEW search_change (id, text, gone) AS SELECT NULL, NULL, NULL WHERE 0;
CREATE VIEW search_plain (id, text, gone) AS SELECT NULL, NULL, NULL WHERE 0;
CREATE VIEW search_bounded (id, text, gone) AS SELECT NULL, NULL, NULL WHERE 0;
CREATE VIEW search_entry (id, text, gone, unspaced) AS SELECT NULL, NULL, NULL, NULL WHERE 0;

-- Removes NUL, which ends a text for many functions, and the escape sequences of terminals, which would stick to words.
-- The JSON functions split the text at ESC. After it come one character, parameters, and one more character.
CREATE TRIGGER search_change_plain INSTEAD OF INSERT ON search_change BEGIN
    INSERT INTO search_plain (id, text, gone) VALUES (
        new.id,
        CASE WHEN instr(new.text, char(27)) = 0 AND instr(new.text, char(0)) = 0 THEN new.text ELSE (
            SELECT group_concat(
                CASE part.key WHEN 0 THEN part.value
                              ELSE substr(ltrim(substr(part.value, 2), '0123456789;?'), 2) END,
                ' '
            )
            FROM json_each(
                '[' || replace(replace(replace(json_quote(new.text), '\\', ' '), '\u0000', ' '), '\u001b', '","') || ']'
            ) AS part
        ) END,
        new.gone
    );
END;

-- Cuts off very long texts: indexing them would lock the database for too long.
CREATE TRIGGER search_plain_bounded INSTEAD OF INSERT ON search_plain BEGIN
    INSERT INTO search_bounded (id, text, gone) VALUES (
        new.id,
        CASE WHEN length(CAST(new.text AS BLOB)) > 1000000 THEN substr(new.text, 1, 1000000) ELSE new.text END,
        new.gone
    );
END;

-- The ranges are those of migrator/search/query.py. GLOB is slow, so ASCII texts skip it.
CREATE TRIGGER search_bounded_entry INSTEAD OF INSERT ON search_bounded BEGIN
    INSERT INTO search_entry (id, text, gone, unspaced) VALUES (
        new.id, new.text, new.gone,
        CASE WHEN length(CAST(new.text AS BLOB)) = length(new.text) THEN 0
             ELSE new.text GLOB '*[฀-᷿⺀-ퟻ豈-﫿＀-￯𠀀-𿿽]*' END
    );
END;

-- Two spaces at the end make the last characters of a text beginnings of grams, too.
CREATE TRIGGER search_entry_stored INSTEAD OF INSERT ON search_entry BEGIN
    INSERT INTO search_words (rowid, text)
    SELECT new.id, new.text WHERE NOT new.unspaced AND NOT new.gone;
    INSERT INTO search_words (search_words, rowid, text)
    SELECT 'delete', new.id, new.text WHERE NOT new.unspaced AND new.gone;
    INSERT INTO search_grams (rowid, text)
    SELECT new.id, new.text || '  ' WHERE new.unspaced AND NOT new.gone;
    INSERT INTO search_grams (search_grams, rowid, text)
    SELECT 'delete', new.id, new.text || '  ' WHERE new.unspaced AND new.gone;
END;

CREATE TRIGGER search_task_insert AFTER INSERT ON sessions
WHEN new.rowid <= (SELECT tasks_to FROM search_index) BEGIN
    INSERT INTO search_change (id, text, gone) VALUES (new.rowid, new.task, 0);
END;
CREATE TRIGGER search_task_delete AFTER DELETE ON sessions
WHEN old.rowid <= (SELECT tasks_to FROM search_index) BEGIN
    INSERT INTO search_change (id, text, gone) VALUES (old.rowid, old.task, 1);
END;
CREATE TRIGGER search_task_update AFTER UPDATE OF task ON sessions
WHEN old.task IS NOT new.task AND old.rowid <= (SELECT tasks_to FROM search_index) BEGIN
    INSERT INTO search_change (id, text, gone) VALUES (old.rowid, old.task, 1);
    INSERT INTO search_change (id, text, gone) VALUES (new.rowid, new.task, 0);
END;

CREATE TRIGGER search_message_insert AFTER INSERT ON chat_messages
WHEN new.rowid <= (SELECT messages_to FROM search_index) BEGIN
    INSERT INTO search_change (id, text, gone) VALUES ((1 << 40) + new.rowid, new.content, 0);
END;
CREATE TRIGGER search_message_delete AFTER DELETE ON chat_messages
WHEN old.rowid <= (SELECT messages_to FROM search_index) BEGIN
    INSERT INTO search_change (id, text, gone) VALUES ((1 << 40) + old.rowid, old.content, 1);
END;
CREATE TRIGGER search_message_update AFTER UPDATE OF content ON chat_messages
WHEN old.content IS NOT new.content AND old.rowid <= (SELECT messages_to FROM search_index) BEGIN
    INSERT INTO search_change (id, text, gone) VALUES ((1 << 40) + old.rowid, old.content, 1);
    INSERT INTO search_change (id, text, gone) VALUES ((1 << 40) + new.rowid, new.content, 0);
END;

CREATE TRIGGER search_output_insert AFTER INSERT ON instances
WHEN new.output IS NOT NULL AND new.id <= (SELECT outputs_to FROM search_index) BEGIN
    INSERT INTO search_change (id, text, gone) VALUES ((1 << 41) + new.id, new.output, 0);
END;
CREATE TRIGGER search_output_delete AFTER DELETE ON instances
WHEN old.output IS NOT NULL AND old.id <= (SELECT outputs_to FROM search_index) BEGIN
    INSERT INTO search_change (id, text, gone) VALUES ((1 << 41) + old.id, old.output, 1);
END;
CREATE TRIGGER search_output_update AFTER UPDATE OF output ON instances
WHEN old.output IS NOT new.output AND old.id <= (SELECT outputs_to FROM search_index) BEGIN
    INSERT INTO search_change (id, text, gone) SELECT (1 << 41) + old.id, old.output, 1 WHERE old.output IS NOT NULL;
    INSERT INTO search_change (id, text, gone) SELECT (1 << 41) + new.id, new.output, 0 WHERE new.output IS NOT NULL;
END;
