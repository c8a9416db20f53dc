-- Rules by which an outside identity becomes a client here. Who answers for the client answers for them.
CREATE TABLE trusts (
  id BLOB NOT NULL PRIMARY KEY,
  org BLOB NOT NULL REFERENCES orgs,
  handle TEXT NOT NULL,
  client BLOB NOT NULL REFERENCES clients,
  environment TEXT NOT NULL,
  issuer TEXT NOT NULL,                -- whose tokens: for a SPIFFE trust domain `spiffe://...`
  rule TEXT NOT NULL,
  keys TEXT NOT NULL,                  -- where that issuer's keys are
  scopes TEXT NOT NULL,
  longest INTEGER NOT NULL,            -- how long its tokens live at most, in seconds
  root BLOB NOT NULL,                  -- the ancestor of every token it gave since it was last put to use
  disabled INTEGER,
  created INTEGER NOT NULL,
  UNIQUE (org, handle)
) STRICT, WITHOUT ROWID;
CREATE INDEX trusts_by_issuer ON trusts (org, issuer);
CREATE INDEX trusts_by_client ON trusts (client);
