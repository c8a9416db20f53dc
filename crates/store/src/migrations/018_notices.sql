-- What owners are told: an entry of the ledger that ended something they answer for.
CREATE TABLE notices (
  owner BLOB NOT NULL,                 -- a person's id, or a team's: no two are the same
  seq INTEGER NOT NULL,                -- the entry
  org BLOB NOT NULL REFERENCES orgs,
  at INTEGER NOT NULL,
  PRIMARY KEY (owner, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX notices_by_time ON notices (at);

-- Up to which entry a person has read theirs.
CREATE TABLE notices_read (
  person BLOB NOT NULL PRIMARY KEY REFERENCES principals,
  upto INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
