-- Every entry downstream_confirmed, so that the one that passed a cut is found long after.
CREATE TABLE confirmations (
    number   INTEGER NOT NULL, -- the downstream
    reaches  INTEGER NOT NULL, -- up to which position it has confirmed
    position INTEGER NOT NULL, -- of the entry
    PRIMARY KEY (number, reaches)
) STRICT, WITHOUT ROWID;
