-- By which provider of its own an organisation's people log in (OIDC), if by any.
CREATE TABLE login_providers (
  org BLOB NOT NULL PRIMARY KEY REFERENCES orgs,
  issuer TEXT NOT NULL,
  client_id TEXT NOT NULL,
  secret BLOB,                         -- what we prove ourselves by there, encrypted; empty where we sign
  name TEXT NOT NULL,
  newcomers INTEGER NOT NULL,          -- whether whoever it signs in becomes a person here
  created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who is who there: by its issuer and subject, and by nothing else.
CREATE TABLE login_links (
  org BLOB NOT NULL REFERENCES orgs,
  issuer TEXT NOT NULL,
  subject TEXT NOT NULL,
  person BLOB NOT NULL REFERENCES principals,
  created INTEGER NOT NULL,
  used INTEGER,
  PRIMARY KEY (org, issuer, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX login_links_by_person ON login_links (person);
