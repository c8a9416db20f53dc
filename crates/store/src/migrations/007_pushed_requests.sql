-- Authorization requests that clients sent ahead (RFC 9126), each good once.
CREATE TABLE pushed_requests (
  fingerprint BLOB NOT NULL PRIMARY KEY,
  org BLOB NOT NULL REFERENCES orgs,
  client BLOB NOT NULL REFERENCES clients,
  request TEXT NOT NULL,
  expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX pushed_requests_by_expiry ON pushed_requests (expires);

-- Whether a client's requests must be sent ahead.
ALTER TABLE clients ADD COLUMN pushed_only INTEGER NOT NULL DEFAULT 0;
