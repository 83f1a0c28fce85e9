-- Browsers that signed in to the console with a key; see src/store/jobs/signins.h.

CREATE TABLE signin (
    hash BLOB PRIMARY KEY,
    key TEXT NOT NULL,
    create_us INTEGER NOT NULL,
    use_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_use ON signin (use_us);
