-- The index for full-text search. It is not a numbered step: users can build and drop it at any time.
--
-- search_words has the words of all texts. search_grams has all trigrams (three successive characters) of the pieces
-- between spaces that contain a script without spaces, such as Japanese, Chinese, Korean and Thai. Of these pieces,
-- search_words has the words in Latin letters. Neither table stores the texts. Rowids: a task has the rowid of its
-- session, a message 2^40 + its rowid, an output 2^41 + the rowid of its instance.

-- "using" is in lower case: an SQL engine that does not know FTS5, and recognizes virtual tables by these words, refuses
-- the file instead of writing to it. columnsize stays on: without it, tools that count or read every table fail.
CREATE VIRTUAL TABLE search_words using fts5(text, content = '', tokenize = 'unicode61 remove_diacritics 2');
-- detail = none: positions would make the table four times as large, and the texts themselves show them.
CREATE VIRTUAL TABLE search_grams using fts5(text, content = '', detail = none, tokenize = 'trigram');

-- An INSERT into search_change adds a text to the index, or removes it (gone). The views store nothing: the trigger of
-- each view passes the text on to the next one. indexed_parts() in migrator/search/query.py does the same.
CREATE VIEW search_change (id, text, gone) AS SELECT NULL, NULL, NULL WHERE 0;
CREATE VIEW search_plain (id, text, gone) AS SELECT NULL, NULL, NULL WHERE 0;
CREATE VIEW search_bounded (id, text, gone, mark, mixed) AS SELECT NULL, NULL, NULL, NULL, NULL WHERE 0;
CREATE VIEW search_entry (id, words, grams, gone) AS SELECT NULL, NULL, NULL, NULL WHERE 0;

-- Removes NUL, which ends a text for many functions, spaces of no width, which are inside words, and the escape
-- sequences of terminals, which would stick to words. The JSON functions split the text at ESC. After it come one
-- character, parameters, and one more character.
CREATE TRIGGER search_change_plain INSTEAD OF INSERT ON search_change BEGIN
    INSERT INTO search_plain (id, text, gone) VALUES (
        new.id,
        replace(replace(replace(
            CASE WHEN instr(new.text, char(27)) = 0 AND instr(new.text, char(0)) = 0 THEN new.text ELSE (
                SELECT group_concat(
                    CASE part.key WHEN 0 THEN part.value
                                  ELSE substr(ltrim(substr(part.value, 2), '0123456789;?'), 2) END,
                    ' '
                )
                FROM json_each('[' || replace(
                    replace(replace(json_quote(new.text), '\\', ' '), '\u0000', ' '), '\u001b', '","'
                ) || ']') AS part
            ) END,
        char(8203), ''), char(8288), ''), char(65279), ''),
        new.gone
    );
END;

-- Cuts off very long texts, since indexing them would lock the database for too long. These get a word of their own, by
-- which they can be found. "mixed" is a text that may have scripts without spaces, or full-width letters: the ranges here
-- and below are those of migrator/search/query.py. GLOB is slow, the more ranges the slower, so ASCII texts skip it.
CREATE TRIGGER search_plain_bounded INSTEAD OF INSERT ON search_plain BEGIN
    INSERT INTO search_bounded (id, text, gone, mark, mixed) VALUES (
        new.id,
        CASE WHEN length(CAST(new.text AS BLOB)) > 1000000 THEN substr(new.text, 1, 1000000) ELSE new.text END,
        new.gone,
        CASE WHEN length(new.text) > 1000000 THEN ' ' || char(1114097) ELSE '' END,
        CASE WHEN length(CAST(new.text AS BLOB)) = length(new.text) THEN 0
             ELSE new.text GLOB '*[฀-᷿⺀-ￜ𠀀-𿿽]*' END
    );
END;

CREATE TRIGGER search_bounded_spaced INSTEAD OF INSERT ON search_bounded WHEN NOT new.mixed BEGIN
    INSERT INTO search_entry (id, words, grams, gone) VALUES (new.id, new.text || new.mark, NULL, new.gone);
END;

-- Makes full-width letters narrow, and splits the text at spaces, line ends and backslashes, with the JSON functions. Of a
-- piece that is in a script without spaces, one character stays among the words, as a gap: char(1114096). Two spaces at
-- the end make the last characters of a text beginnings of grams, too. Only if letters touch such a script, each letter is
-- put between two backslashes, and those next to each other are joined again: what is then between backslashes is either
-- letters or a gap. instr() and length() come first, since GLOB is slow, and CASE in place of AND, which asks both. LIMIT
-- keeps SQLite from computing a column of a subquery again wherever it is used.
CREATE TRIGGER search_bounded_mixed INSTEAD OF INSERT ON search_bounded WHEN new.mixed BEGIN
    INSERT INTO search_entry (id, words, grams, gone)
    SELECT new.id, CASE WHEN trim(words, char(1114096) || ' ') <> '' OR new.mark <> '' THEN words || new.mark END,
           grams || '  ', new.gone
    FROM (
        WITH narrow (text) AS MATERIALIZED (
            SELECT replace(replace(replace(CASE
                WHEN instr(CAST(new.text AS BLOB), x'EFBC') = 0 AND instr(CAST(new.text AS BLOB), x'EFBD') = 0
                     OR new.text NOT GLOB '*[０-９Ａ-Ｚａ-ｚ]*' THEN new.text
                ELSE (
                    WITH RECURSIVE step (code, text) AS (
                        SELECT 65296, new.text
                        UNION ALL
                        SELECT code + 1, replace(text, char(code), char(code - 65248)) FROM step WHERE code < 65371
                    )
                    SELECT text FROM step WHERE code = 65371
                )
            END, '\', ' '), char(9), ' '), char(13), ' ')
        ),
        found (words, grams, touching) AS (
            SELECT group_concat(
                       CASE WHEN NOT unspaced OR text GLOB '*[0-9A-Za-zÀ-џ]*' THEN text ELSE char(1114096) END, ' '
                   ),
                   group_concat(CASE WHEN unspaced THEN text END, ' '),
                   max(CASE WHEN NOT unspaced OR NOT text GLOB '*[0-9A-Za-zÀ-џ]*' THEN 0
                        ELSE text GLOB '*[0-9A-Za-zÀ-џ][฀-᷿⺀-ￜ𠀀-𿿽]*' OR text GLOB '*[฀-᷿⺀-ￜ𠀀-𿿽][0-9A-Za-zÀ-џ]*' END)
            FROM (
                SELECT piece.value AS text, CASE WHEN length(CAST(piece.value AS BLOB)) = length(piece.value) THEN 0
                    ELSE piece.value GLOB '*[฀-᷿⺀-⿿々-〇〡-〯〱-ゟァ-ヺー-㍰㍻-㍿㏠-ퟻ豈-﫿ｦ-ￜ𠀀-𿿽]*' END AS unspaced
                FROM narrow, json_each('[' || replace(json_quote(narrow.text), '\n', '","') || ']') AS line, json_each(
                    CASE WHEN length(CAST(line.value AS BLOB)) = length(line.value) THEN json_array(line.value)
                         ELSE '[' || replace(json_quote(line.value), ' ', '","') || ']' END
                ) AS piece
                LIMIT -1
            )
        )
        SELECT grams, CASE
            WHEN NOT touching THEN words
            ELSE (
                WITH RECURSIVE step (code, text) AS (
                    SELECT 48, lower(replace(narrow.text, char(10), ' ')) FROM narrow
                    UNION ALL
                    SELECT CASE WHEN code = 57 THEN 97
                                WHEN code <> 122 THEN code + 1
                                WHEN text GLOB '*[À-џ]*' THEN 192
                                ELSE 1120 END,
                           replace(text, char(code), '\' || char(code) || '\')
                    FROM step WHERE code < 1120
                )
                SELECT group_concat(CASE
                    WHEN length(CAST(marked.value AS BLOB)) = length(marked.value)
                         OR NOT marked.value GLOB '*[฀-᷿⺀-⿿々-〇〡-〯〱-ゟァ-ヺー-㍰㍻-㍿㏠-ퟻ豈-﫿ｦ-ￜ𠀀-𿿽]*'
                    THEN replace(marked.value, '\', '')
                    ELSE (
                        SELECT group_concat(
                            CASE WHEN value GLOB '*[฀-᷿⺀-⿿々-〇〡-〯〱-ゟァ-ヺー-㍰㍻-㍿㏠-ퟻ豈-﫿ｦ-ￜ𠀀-𿿽]*'
                                 THEN char(1114096) ELSE value END, ' '
                        )
                        FROM json_each('[' || replace(json_quote(marked.value), '\\', '","') || ']')
                    )
                END, ' ')
                FROM step, json_each('[' || replace(
                    json_quote(replace(step.text, '\\', '')), ' ', '","'
                ) || ']') AS marked
                WHERE step.code = 1120
            )
        END AS words
        FROM found LIMIT -1
    );
END;

CREATE TRIGGER search_entry_added INSTEAD OF INSERT ON search_entry WHEN NOT new.gone BEGIN
    INSERT INTO search_words (rowid, text) SELECT new.id, new.words WHERE new.words IS NOT NULL;
    INSERT INTO search_grams (rowid, text) SELECT new.id, new.grams WHERE new.grams IS NOT NULL;
END;
CREATE TRIGGER search_entry_removed INSTEAD OF INSERT ON search_entry WHEN new.gone BEGIN
    INSERT INTO search_words (search_words, rowid, text)
    SELECT 'delete', new.id, new.words WHERE new.words IS NOT NULL;
    INSERT INTO search_grams (search_grams, rowid, text)
    SELECT 'delete', new.id, new.grams WHERE new.grams IS NOT NULL;
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
