-- Clients that are known by the address of a document of their own (Client ID Metadata Documents).
ALTER TABLE clients ADD COLUMN document TEXT;
CREATE UNIQUE INDEX clients_by_document ON clients (org, document) WHERE document IS NOT NULL;
ALTER TABLE clients ADD COLUMN agreed INTEGER;          -- when somebody first said yes to it; of those with a document alone
-- Those that nobody ever said yes to are forgotten.
CREATE INDEX clients_by_document_age ON clients (created) WHERE document IS NOT NULL AND agreed IS NULL;

-- Where such documents are taken from, and what their clients may ask for.
CREATE TABLE document_hosts (
  org BLOB NOT NULL REFERENCES orgs,
  host TEXT NOT NULL,                  -- `*` for any that is not named
  owner_person BLOB REFERENCES principals,
  owner_team BLOB REFERENCES teams,
  scopes TEXT NOT NULL,
  environment TEXT,
  created INTEGER NOT NULL,
  PRIMARY KEY (org, host),
  CHECK ((owner_person IS NULL) <> (owner_team IS NULL))
) STRICT, WITHOUT ROWID;
