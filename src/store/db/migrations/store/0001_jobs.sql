-- Jobs and their inputs, events, webhooks and their outbox, keys, secrets. Numbers of
-- states, dialects and so on are those of format/job.h; times are in microseconds since 1970; an empty
-- text or a 0 stands for what is not there. Texts that can be big stand last, so that a scan of the
-- others does not read their overflow pages.

CREATE TABLE job (
    id INTEGER PRIMARY KEY,
    batch TEXT NOT NULL,
    dialect INTEGER NOT NULL,
    source INTEGER NOT NULL,
    project TEXT NOT NULL,
    location TEXT NOT NULL,
    open INTEGER NOT NULL,
    state INTEGER NOT NULL,
    wish INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    model TEXT NOT NULL,
    display_name TEXT NOT NULL,
    validate_only INTEGER NOT NULL,
    strict INTEGER NOT NULL,
    budget_nano INTEGER NOT NULL,
    budget_tokens INTEGER NOT NULL,
    error_rate_max REAL NOT NULL,
    error_lines_min INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    retry_of INTEGER NOT NULL,
    create_us INTEGER NOT NULL,
    queue_us INTEGER NOT NULL,
    start_us INTEGER NOT NULL,
    end_us INTEGER NOT NULL,
    update_us INTEGER NOT NULL,
    ran_us INTEGER NOT NULL,
    stretch_us INTEGER NOT NULL, -- not 0: a process runs it, under fence
    total INTEGER NOT NULL,
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
    cost_online_nano INTEGER NOT NULL,
    bad INTEGER NOT NULL,
    input_bytes INTEGER NOT NULL,
    text_bytes INTEGER NOT NULL,
    output_max INTEGER NOT NULL,
    output_unset INTEGER NOT NULL,
    error INTEGER NOT NULL,
    error_message TEXT NOT NULL,
    output TEXT NOT NULL,
    result INTEGER NOT NULL, -- a blob that stays as long as the row does
    pause_reason TEXT NOT NULL,
    fence INTEGER NOT NULL,
    webhook TEXT NOT NULL,
    test TEXT NOT NULL,
    spec TEXT NOT NULL,
    CHECK (succeeded + failed + not_run <= total),
    CHECK (stretch_us = 0 OR state IN (2, 4))
) STRICT;
CREATE UNIQUE INDEX job_batch ON job (batch) WHERE batch != '';
CREATE UNIQUE INDEX job_request ON job (project, request_id) WHERE request_id != '';
CREATE INDEX job_list ON job (project, dialect, id);
CREATE INDEX job_dialect ON job (dialect, id);
CREATE INDEX job_open ON job (project, id) WHERE state < 5;
CREATE INDEX job_queue ON job (model, priority, id) WHERE state = 1;
CREATE INDEX job_result ON job (result) WHERE result != 0;

-- The inputs of a job in their order: blobs that stay as long as the row does ("pinned"), whatever becomes
-- of the objects they came from. The file of inline requests is one of them, named "inline".
CREATE TABLE job_input (
    job INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    blob INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (job, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_input_blob ON job_input (blob);

-- A row a state that a job came to; the first one is its creation. AUTOINCREMENT: no seq comes twice.
CREATE TABLE event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    job INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    project TEXT NOT NULL,
    state INTEGER NOT NULL,
    time_us INTEGER NOT NULL
) STRICT;
CREATE INDEX event_job ON event (job, seq);
CREATE INDEX event_project ON event (project, seq);

CREATE TABLE webhook (
    id TEXT PRIMARY KEY,
    project TEXT NOT NULL,
    uri TEXT NOT NULL,
    events TEXT NOT NULL,
    secret TEXT NOT NULL,
    secret_old TEXT NOT NULL,
    secret_old_until_us INTEGER NOT NULL,
    enabled INTEGER NOT NULL,
    create_us INTEGER NOT NULL,
    update_us INTEGER NOT NULL,
    spec TEXT NOT NULL
) STRICT;
CREATE INDEX webhook_project ON webhook (project);

-- The outbox. It refers to jobs and webhooks by number only: a delivery is sent even when they are
-- deleted.
CREATE TABLE delivery (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job INTEGER NOT NULL,
    event_seq INTEGER NOT NULL,
    project TEXT NOT NULL,
    webhook TEXT NOT NULL,
    uri TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    create_us INTEGER NOT NULL,
    due_us INTEGER NOT NULL,
    state INTEGER NOT NULL,
    last_status INTEGER NOT NULL,
    last_error TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX delivery_due ON delivery (due_us, id) WHERE state = 0;
CREATE INDEX delivery_old ON delivery (create_us) WHERE state != 0;
CREATE INDEX delivery_webhook ON delivery (webhook, id);
CREATE INDEX delivery_job ON delivery (job, id);
CREATE INDEX delivery_project ON delivery (project, id);

-- hash: SHA-256 of the key's text; null for a service account, which has a public key instead.
CREATE TABLE key (
    id TEXT PRIMARY KEY,
    hash BLOB UNIQUE,
    project TEXT NOT NULL,
    role INTEGER NOT NULL,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    public_key TEXT NOT NULL,
    create_us INTEGER NOT NULL,
    expire_us INTEGER NOT NULL,
    revoke_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX key_email ON key (email) WHERE email != '';

-- Secrets of this folder: store_secret().
CREATE TABLE secret (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
