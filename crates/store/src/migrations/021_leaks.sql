-- Whoever reports a registration access token need not know whose it is.
CREATE INDEX registrations_by_fingerprint ON registrations (fingerprint);

-- Sessions, and clients for themselves, one of whose passes was reported not long ago: nobody is told again until then.
CREATE TABLE leaks_told (
  subject BLOB NOT NULL PRIMARY KEY,
  expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX leaks_told_by_expiry ON leaks_told (expires);
