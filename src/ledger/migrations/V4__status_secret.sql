-- What the places of tokens in status lists are computed from, drawn once and never changed: with another,
-- the lists would speak of other tokens than those that are out. SQLite draws it from its own generator,
-- which the operating system seeds.
CREATE TABLE status_secret (
    only  INTEGER PRIMARY KEY CHECK (only = 1),
    bytes BLOB NOT NULL CHECK (length(bytes) = 32)
) STRICT;

INSERT INTO status_secret VALUES (1, randomblob(32));

CREATE TRIGGER status_secret_stays BEFORE UPDATE ON status_secret
BEGIN
    SELECT RAISE(ABORT, 'the secret of status lists is never changed');
END;

CREATE TRIGGER status_secret_remains BEFORE DELETE ON status_secret
BEGIN
    SELECT RAISE(ABORT, 'the secret of status lists is never deleted');
END;
