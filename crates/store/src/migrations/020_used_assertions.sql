-- Assertions that were used, in the order they came: memory finds them, the table only brings them through a restart. A place by
-- its hash would have each commit write as many pages as it has assertions.
CREATE TABLE used_assertions (
  id INTEGER PRIMARY KEY,
  mark BLOB NOT NULL,
  expires INTEGER NOT NULL             -- when it is over, and may be forgotten
) STRICT;
INSERT INTO used_assertions (mark, expires) SELECT substr(fingerprint, 1, 16), expires FROM assertions;
DROP TABLE assertions;
