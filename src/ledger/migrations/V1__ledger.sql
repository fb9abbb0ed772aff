-- The entries themselves lie in segment tables (entries_0, entries_1, …), each made when the first
-- of its entries is written; see sqlite/rows.rs.

-- Where the ledger ends. Moved in the transaction that appends.
CREATE TABLE head (
    only             INTEGER PRIMARY KEY CHECK (only = 1),
    position         INTEGER NOT NULL CHECK (position >= 0),
    time_ms          INTEGER NOT NULL CHECK (time_ms >= 0),
    changed          INTEGER NOT NULL CHECK (changed BETWEEN 0 AND position),
    latest_expiry_ms INTEGER NOT NULL CHECK (latest_expiry_ms >= 0),
    root             BLOB NOT NULL CHECK (length(root) = 32),
    frontier         BLOB NOT NULL CHECK (length(frontier) % 32 = 0),
    segment_size     INTEGER NOT NULL CHECK (segment_size > 0)
) STRICT;

CREATE TRIGGER head_stays BEFORE DELETE ON head
BEGIN
    SELECT RAISE(ABORT, 'the head is never deleted');
END;

CREATE TRIGGER head_moves_on BEFORE UPDATE ON head
WHEN NEW.position < OLD.position OR NEW.time_ms < OLD.time_ms OR NEW.segment_size <> OLD.segment_size
BEGIN
    SELECT RAISE(ABORT, 'the head never goes back');
END;

-- Copies of the entries that still matter; see compact.rs.
CREATE TABLE current (
    number   INTEGER NOT NULL,
    aspect   INTEGER NOT NULL,
    position INTEGER NOT NULL,
    ends_ms  INTEGER,
    bytes    BLOB NOT NULL,
    PRIMARY KEY (number, aspect, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX current_ends ON current (aspect, ends_ms) WHERE ends_ms IS NOT NULL;

-- Which cut closed which task.
CREATE TABLE closed_tasks (
    number   INTEGER PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT;

-- The counters of the living as of a position: a cache.
CREATE TABLE living (
    only     INTEGER PRIMARY KEY CHECK (only = 1),
    position INTEGER NOT NULL,
    bytes    BLOB NOT NULL
) STRICT;
