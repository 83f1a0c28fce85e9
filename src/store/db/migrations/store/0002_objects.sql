-- Buckets, objects, files, uploads, and which blobs may go. A blob's own facts stand in the row that
-- names it: copies share the file and repeat the facts.

-- Numbers that are never given twice: blob ids, generations.
CREATE TABLE counter (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE bucket (
    name TEXT PRIMARY KEY,
    project TEXT NOT NULL,
    meta TEXT NOT NULL,
    create_us INTEGER NOT NULL,
    update_us INTEGER NOT NULL,
    metageneration INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX bucket_project ON bucket (project, name);

-- Names are bytes: any UTF-8, in the order of memcmp.
CREATE TABLE object (
    bucket TEXT NOT NULL,
    name BLOB NOT NULL,
    generation INTEGER NOT NULL,
    metageneration INTEGER NOT NULL,
    blob INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    crc32c INTEGER NOT NULL,
    md5 BLOB,
    sha256 BLOB,
    content_type TEXT NOT NULL,
    meta TEXT NOT NULL,
    component_count INTEGER NOT NULL,
    create_us INTEGER NOT NULL,
    update_us INTEGER NOT NULL,
    PRIMARY KEY (bucket, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX object_blob ON object (blob);

-- blob 0: deleted. The row stays until after its expiry, so that a list goes on behind it and its id is
-- not given again.
CREATE TABLE file (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
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
    expire_us INTEGER NOT NULL
) STRICT;
CREATE INDEX file_blob ON file (blob) WHERE blob != 0;
CREATE INDEX file_project ON file (project, seq) WHERE blob != 0;
CREATE INDEX file_expiry ON file (expire_us);

-- bytes: durable ones of uploads/ID.
CREATE TABLE upload (
    id TEXT PRIMARY KEY,
    project TEXT NOT NULL,
    what TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    bytes_max INTEGER NOT NULL,
    create_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Blobs that no row names any more and none will: their files may go.
CREATE TABLE blob_gone (
    id INTEGER PRIMARY KEY
) STRICT;

-- Until then no blob's file goes: a backup reads them. In the system's own time.
CREATE TABLE blob_hold (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    until_us INTEGER NOT NULL
) STRICT;
