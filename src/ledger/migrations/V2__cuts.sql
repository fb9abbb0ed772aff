-- Every cut that was ever made, so that what ended something is found long after it left the list.
CREATE TABLE cuts (
    number   INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (number, position)
) STRICT, WITHOUT ROWID;

-- Of those made before this table, the ones that are still known by number (aspects 5 to 8: listed, closed, absent, moved).
INSERT INTO cuts SELECT number, position FROM closed_tasks;
INSERT OR IGNORE INTO cuts SELECT number, position FROM current WHERE aspect BETWEEN 5 AND 8;
