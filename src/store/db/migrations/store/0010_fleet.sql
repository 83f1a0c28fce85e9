-- Processes that share a store, jobs cut into shards, and files of jobs; see store/fleet/fleet.h and
-- store/jobs/shards.h.

-- A lease ends at until_us, in the database's time. The number grows and never comes twice.
CREATE TABLE process (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    join_us INTEGER NOT NULL,
    until_us INTEGER NOT NULL
) STRICT;

CREATE TABLE duty (
    name TEXT PRIMARY KEY,
    process INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX duty_process ON duty (process);

-- Sums over the job's shards, which change together with them: how many there are, are done and are leased, and what of
-- the budget is reserved for them.
ALTER TABLE job ADD COLUMN shards INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN shards_done INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN shards_leased INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN reserved_nano INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN reserved_tokens INTEGER NOT NULL DEFAULT 0;
CREATE INDEX job_removed ON job (id) WHERE wish = 3;

-- process 0: nobody holds it. The fence stays when a lease ends, and grows with the next one. Counters are of the rows in
-- the blob `answers`, or, when done, in the blob `output`; taken: its answers are another job's, and none is counted yet.
CREATE TABLE shard (
    job INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    input INTEGER NOT NULL,
    begin_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL,
    line_no INTEGER NOT NULL,
    first INTEGER NOT NULL,
    lines INTEGER NOT NULL,
    text_bytes INTEGER NOT NULL,
    output_max INTEGER NOT NULL,
    output_unset INTEGER NOT NULL,
    cost_max INTEGER NOT NULL,
    tokens_max INTEGER NOT NULL,
    done INTEGER NOT NULL DEFAULT 0,
    process INTEGER NOT NULL DEFAULT 0,
    fence INTEGER NOT NULL DEFAULT 0,
    reserved_nano INTEGER NOT NULL DEFAULT 0,
    reserved_tokens INTEGER NOT NULL DEFAULT 0,
    taken INTEGER NOT NULL DEFAULT 0,
    answers INTEGER NOT NULL DEFAULT 0,
    output INTEGER NOT NULL DEFAULT 0,
    output_bytes INTEGER NOT NULL DEFAULT 0,
    output_crc32c INTEGER NOT NULL DEFAULT 0,
    output_md5 BLOB,
    output_sha256 BLOB,
    total INTEGER NOT NULL,
    succeeded INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    not_run INTEGER NOT NULL DEFAULT 0,
    duplicates INTEGER NOT NULL DEFAULT 0,
    reused INTEGER NOT NULL DEFAULT 0,
    reused_tokens INTEGER NOT NULL DEFAULT 0,
    prompt_tokens INTEGER NOT NULL DEFAULT 0,
    cached_tokens INTEGER NOT NULL DEFAULT 0,
    candidate_tokens INTEGER NOT NULL DEFAULT 0,
    thought_tokens INTEGER NOT NULL DEFAULT 0,
    duplicate_tokens INTEGER NOT NULL DEFAULT 0,
    structured INTEGER NOT NULL DEFAULT 0,
    complete INTEGER NOT NULL DEFAULT 0,
    forced_tokens INTEGER NOT NULL DEFAULT 0,
    rejected INTEGER NOT NULL DEFAULT 0,
    rejected_tokens INTEGER NOT NULL DEFAULT 0,
    rejected_cost_nano INTEGER NOT NULL DEFAULT 0,
    cost_nano INTEGER NOT NULL DEFAULT 0,
    cost_online_nano INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job, number),
    CHECK (total = lines AND succeeded + failed + not_run <= total),
    CHECK (done = 0 OR (process = 0 AND output != 0 AND succeeded + failed + not_run = total)),
    CHECK (process != 0 OR (reserved_nano = 0 AND reserved_tokens = 0))
) STRICT, WITHOUT ROWID;
CREATE INDEX shard_free ON shard (job, number) WHERE process = 0 AND done = 0;
CREATE INDEX shard_held ON shard (process) WHERE process != 0;
CREATE INDEX shard_answers ON shard (answers) WHERE answers != 0;
CREATE INDEX shard_output ON shard (output) WHERE output != 0;

-- Blobs that other processes need of a job besides its shards, by name, such as the list of its bad lines.
CREATE TABLE job_file (
    job INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    blob INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (job, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_file_blob ON job_file (blob);

-- Start-time fair queueing: the work that a project got of a model, divided by its weight, and where its last share of it
-- began. See store/jobs/shards_fair.c.
CREATE TABLE fair (
    model TEXT NOT NULL,
    project TEXT NOT NULL,
    work REAL NOT NULL,
    start_at REAL NOT NULL,
    PRIMARY KEY (model, project)
) STRICT, WITHOUT ROWID;
