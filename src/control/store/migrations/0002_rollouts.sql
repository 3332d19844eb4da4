-- Rollouts: each with its whole state, and what happened in it.
CREATE TABLE rollouts (
    id       TEXT PRIMARY KEY,
    began_ms INTEGER NOT NULL,
    over     INTEGER NOT NULL,
    state    TEXT NOT NULL,
    evidence TEXT NOT NULL
) STRICT;
CREATE INDEX rollouts_by_time ON rollouts (began_ms);

CREATE TABLE rollout_entries (
    rollout TEXT NOT NULL REFERENCES rollouts (id) ON DELETE CASCADE,
    seq     INTEGER NOT NULL,
    entry   TEXT NOT NULL,
    PRIMARY KEY (rollout, seq)
) STRICT, WITHOUT ROWID;

-- The version that a route's plan had when it was last looked at.
CREATE TABLE rollout_versions (
    route   TEXT PRIMARY KEY,
    version TEXT
) STRICT, WITHOUT ROWID;

-- What is still to be told to somebody, and what was told in the last days.
CREATE TABLE outbox (
    key      TEXT PRIMARY KEY,
    sink     TEXT NOT NULL,
    message  TEXT NOT NULL,
    made_ms  INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    due_ms   INTEGER,
    outcome  TEXT
) STRICT;
CREATE INDEX outbox_due ON outbox (due_ms) WHERE due_ms IS NOT NULL;

-- Links of messages that somebody used, for as long as they would have worked.
CREATE TABLE links_used (
    nonce    TEXT PRIMARY KEY,
    until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
