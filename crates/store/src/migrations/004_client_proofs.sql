-- How clients prove who they are, beside keys that are kept here.
ALTER TABLE clients ADD COLUMN jwks_uri TEXT;           -- where its keys are, if it publishes them itself
ALTER TABLE clients ADD COLUMN secrets_until INTEGER;   -- until when it may prove itself by a secret: an exception

CREATE TABLE client_secrets (
  id BLOB NOT NULL PRIMARY KEY,        -- the ancestor of every token it opened the door to
  client BLOB NOT NULL REFERENCES clients,
  fingerprint BLOB NOT NULL UNIQUE,
  created INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  used INTEGER                         -- about when it was last used
) STRICT, WITHOUT ROWID;
CREATE INDEX client_secrets_by_client ON client_secrets (client);
