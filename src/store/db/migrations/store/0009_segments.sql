-- Blobs of a store that several processes share: those that are made of others, and the parts of unfinished
-- uploads. See store/objects/blob_shared.c.

-- A blob without bytes of its own: those of its segments, in their order, are its content.
CREATE TABLE composed (
    blob INTEGER PRIMARY KEY,
    bytes INTEGER NOT NULL,
    crc32c INTEGER NOT NULL,
    create_us INTEGER NOT NULL -- in the system's own time
) STRICT;

-- begin_at: where the part's bytes begin in the blob. A part is never composed, and is never empty.
CREATE TABLE segment (
    blob INTEGER NOT NULL,
    begin_at INTEGER NOT NULL,
    part INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    crc32c INTEGER NOT NULL,
    PRIMARY KEY (blob, begin_at)
) STRICT, WITHOUT ROWID;
CREATE INDEX segment_part ON segment (part);

-- The durable bytes of an upload: blobs which become the segments of what it makes.
CREATE TABLE upload_part (
    upload TEXT NOT NULL REFERENCES upload (id) ON DELETE CASCADE,
    begin_at INTEGER NOT NULL,
    part INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    crc32c INTEGER NOT NULL,
    PRIMARY KEY (upload, begin_at)
) STRICT, WITHOUT ROWID;
CREATE INDEX upload_part_part ON upload_part (part);

-- When the bytes were removed; the row stays for a while after that, so that a late transaction cannot name the
-- blob. 0: not yet.
ALTER TABLE blob_gone ADD COLUMN removed_us INTEGER NOT NULL DEFAULT 0;
CREATE INDEX blob_gone_due ON blob_gone (id) WHERE removed_us = 0;
