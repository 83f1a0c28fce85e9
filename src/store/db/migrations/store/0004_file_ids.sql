-- A file's id is its project's: one that another project chose is free here, and cannot be probed.

CREATE TABLE file_new (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    project TEXT NOT NULL,
    display_name TEXT NOT NULL,
    mime TEXT NOT NULL,
    blob INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    crc32c INTEGER NOT NULL,
    md5 BLOB,
    sha256 BLOB,
    origin INTEGER NOT NULL,
    create_us INTEGER NOT NULL,
    update_us INTEGER NOT NULL,
    expire_us INTEGER NOT NULL,
    UNIQUE (id, project)
) STRICT;
INSERT INTO file_new SELECT * FROM file;
DROP TABLE file;
ALTER TABLE file_new RENAME TO file;
CREATE INDEX file_blob ON file (blob) WHERE blob != 0;
CREATE INDEX file_project ON file (project, seq) WHERE blob != 0;
CREATE INDEX file_expiry ON file (expire_us);
