-- What is in force: one row, replaced by every change.
CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL,
    file TEXT NOT NULL,
    overlay TEXT NOT NULL
) STRICT;

-- The text of every control file that a kept revision ran with.
CREATE TABLE files (
    digest TEXT PRIMARY KEY,
    text TEXT NOT NULL
) STRICT;

-- Every accepted change, with what was in force after it.
CREATE TABLE revisions (
    number INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    action TEXT NOT NULL,
    route TEXT,
    origin TEXT NOT NULL,
    old_value TEXT NOT NULL,
    new_value TEXT NOT NULL,
    file TEXT NOT NULL,
    overlay TEXT NOT NULL
) STRICT;
CREATE INDEX revisions_by_file ON revisions (file);

-- The audit. The columns to search by are taken from the row's text, so that they cannot say anything else.
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    row TEXT NOT NULL,
    hash BLOB NOT NULL,
    time TEXT GENERATED ALWAYS AS (row ->> '$.time') VIRTUAL,
    actor TEXT GENERATED ALWAYS AS (row ->> '$.origin.actor') VIRTUAL,
    action TEXT GENERATED ALWAYS AS (row ->> '$.action') VIRTUAL,
    route TEXT GENERATED ALWAYS AS (row ->> '$.route') VIRTUAL
) STRICT;
CREATE INDEX audit_by_actor ON audit (actor);
CREATE INDEX audit_by_route ON audit (route);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'rows of the audit are not changed'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'rows of the audit are not deleted'); END;

-- The newest row of the audit; without it nobody could tell that the end was cut off.
CREATE TABLE audit_head (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT;
INSERT INTO audit_head VALUES (1, 0, zeroblob(32));

-- Idempotency keys that were used, and the revision that each made.
CREATE TABLE idempotency (
    key TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    revision INTEGER NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT;

-- The keys that sign assignment cookies, the current one first.
CREATE TABLE signing_keys (
    position INTEGER PRIMARY KEY,
    key TEXT NOT NULL
) STRICT;
