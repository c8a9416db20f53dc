-- What clients that register themselves may have in an org (RFC 7591): none do where there is no row.
CREATE TABLE registration_policies (
  org BLOB NOT NULL PRIMARY KEY REFERENCES orgs,
  owner_person BLOB REFERENCES principals,
  owner_team BLOB REFERENCES teams,
  scopes TEXT NOT NULL,
  environment TEXT,
  created INTEGER NOT NULL,
  token BLOB,                          -- the id of the initial access token that is good, if one was made
  token_fingerprint BLOB,
  token_stamp INTEGER NOT NULL DEFAULT 0,
  token_uses INTEGER NOT NULL DEFAULT 0, -- how often it may still be used
  token_expires INTEGER NOT NULL DEFAULT 0,
  CHECK ((owner_person IS NULL) <> (owner_team IS NULL))
) STRICT, WITHOUT ROWID;

-- Clients that registered themselves, and what each manages its registration with (RFC 7592): its fingerprint alone.
CREATE TABLE registrations (
  org BLOB NOT NULL REFERENCES orgs,
  client BLOB NOT NULL REFERENCES clients,
  fingerprint BLOB NOT NULL,
  stamp INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  PRIMARY KEY (org, client)
) STRICT, WITHOUT ROWID;
