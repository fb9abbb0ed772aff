-- The last entry of each sort that changed a finding, so that what became of one is found long after it was settled.
CREATE TABLE finding_changes (
    number   INTEGER NOT NULL, -- the finding
    step     INTEGER NOT NULL, -- seen 1, acted 2, resolved 3, waived 4
    position INTEGER NOT NULL, -- of the entry
    PRIMARY KEY (number, step)
) STRICT, WITHOUT ROWID;

-- Of those made before this table, what is known of the findings that are open (aspects 31 to 33: seen, acted, waived).
INSERT INTO finding_changes SELECT number, CASE aspect WHEN 31 THEN 1 WHEN 32 THEN 2 ELSE 4 END, position
    FROM current WHERE aspect BETWEEN 31 AND 33;
-- A finding that was settled up to here is not in it.
INSERT INTO finding_changes SELECT 0, 0, position FROM head;
