-- Answers of finished runs that this run uses again: a row names the file and the row that holds the answer.

ALTER TABLE row ADD COLUMN origin INTEGER NOT NULL DEFAULT 0; -- 0: the answer is in this row
ALTER TABLE row ADD COLUMN origin_idx INTEGER NOT NULL DEFAULT 0; -- without an origin 1: taken from an output

ALTER TABLE books ADD COLUMN reused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE books ADD COLUMN reused_tokens INTEGER NOT NULL DEFAULT 0;

CREATE TABLE origin (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE -- of the file in the folder "from" beside this one
) STRICT;
