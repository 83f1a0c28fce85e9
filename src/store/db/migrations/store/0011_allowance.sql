-- Shares of the configured limits of upstream servers, which processes lease; see store/fleet/allowance.h. Requests and
-- tokens are a minute's. The row of process 0 says nothing: it is locked while the upstream's shares change. A share
-- ends at until_us, in the database's time.
CREATE TABLE allowance (
    upstream TEXT NOT NULL,
    process INTEGER NOT NULL,
    requests REAL NOT NULL,
    tokens REAL NOT NULL,
    slots REAL NOT NULL,
    need_requests REAL NOT NULL,
    need_tokens REAL NOT NULL,
    need_slots REAL NOT NULL,
    unit_tokens REAL NOT NULL,
    until_us INTEGER NOT NULL,
    PRIMARY KEY (upstream, process)
) STRICT, WITHOUT ROWID;
