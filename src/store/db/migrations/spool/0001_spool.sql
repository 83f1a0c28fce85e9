-- Answers of a run, their sums, and facts about the run. The big columns stand last, so that a scan of
-- the others does not read their overflow pages.

CREATE TABLE row (
    idx INTEGER PRIMARY KEY,
    outcome INTEGER NOT NULL,
    code INTEGER NOT NULL,
    duplicate INTEGER NOT NULL,
    processed_us INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    candidate_tokens INTEGER NOT NULL,
    thought_tokens INTEGER NOT NULL,
    cost_nano INTEGER NOT NULL,
    cost_online_nano INTEGER NOT NULL,
    digest BLOB,
    status BLOB,
    response BLOB
) STRICT;
CREATE INDEX row_digest ON row (digest) WHERE digest IS NOT NULL;
CREATE INDEX row_failed ON row (code, idx) WHERE outcome = 2;

-- One row: the sums over all rows, changed in the transaction that adds them.
CREATE TABLE books (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    succeeded INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    not_run INTEGER NOT NULL,
    duplicates INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    candidate_tokens INTEGER NOT NULL,
    thought_tokens INTEGER NOT NULL,
    duplicate_tokens INTEGER NOT NULL,
    cost_nano INTEGER NOT NULL,
    cost_online_nano INTEGER NOT NULL
) STRICT;
INSERT INTO books VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

CREATE TABLE fact (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
