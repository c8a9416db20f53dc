-- What every API key of an org lives at most, in seconds, where it has shortened that.
ALTER TABLE orgs ADD COLUMN api_key INTEGER;
-- Whether long-lived secrets are there only by an exception, with a reason and an end.
ALTER TABLE orgs ADD COLUMN static_by_exception INTEGER NOT NULL DEFAULT 0;
-- What is demanded of how a person proved who they are, of every grant in the org (RFC 9470). Empty where nothing is.
ALTER TABLE orgs ADD COLUMN demand TEXT;

-- Keys, each with what all of its secrets have in common.
CREATE TABLE api_keys (
  id BLOB NOT NULL PRIMARY KEY,        -- the ancestor of its secrets and of every token they buy
  org BLOB NOT NULL REFERENCES orgs,
  handle TEXT NOT NULL,
  client BLOB NOT NULL REFERENCES clients,
  owner_person BLOB REFERENCES principals,
  owner_team BLOB REFERENCES teams,
  environment TEXT NOT NULL,
  scopes TEXT NOT NULL,
  resources TEXT NOT NULL,             -- separated by line feeds
  networks TEXT NOT NULL,              -- where it may come from, separated by spaces; empty for anywhere
  direct_until INTEGER,                -- until when it may be sent to an API, and why
  direct_reason TEXT,
  exception_until INTEGER,             -- why there is a key at all
  exception_reason TEXT,
  migrating_since INTEGER,
  ends INTEGER,                        -- when all of it is over, whatever its secrets say
  created INTEGER NOT NULL,
  UNIQUE (org, handle),
  CHECK ((owner_person IS NULL) <> (owner_team IS NULL)),
  CHECK ((direct_until IS NULL) = (direct_reason IS NULL)),
  CHECK ((exception_until IS NULL) = (exception_reason IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX api_keys_by_client ON api_keys (client);
CREATE INDEX api_keys_by_owner_person ON api_keys (owner_person);
CREATE INDEX api_keys_by_owner_team ON api_keys (owner_team);

-- What is written down as `hpk_...`: its fingerprint alone.
CREATE TABLE api_key_secrets (
  id BLOB NOT NULL PRIMARY KEY,
  key BLOB NOT NULL REFERENCES api_keys,
  fingerprint BLOB NOT NULL UNIQUE,
  succeeds BLOB,                       -- the one it took the place of
  stamp INTEGER NOT NULL,
  created INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  revoked INTEGER,                     -- when it, or its key, was cut, and why
  why TEXT,
  CHECK ((revoked IS NULL) = (why IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX api_key_secrets_by_key ON api_key_secrets (key);

-- Who used a secret: one row for each network, machine and purpose, as far as there is room.
CREATE TABLE api_key_users (
  secret BLOB NOT NULL REFERENCES api_key_secrets,
  way TEXT NOT NULL,                   -- `exchange` or `direct`
  network TEXT NOT NULL,               -- a prefix of the address; empty where it is not known
  machine TEXT NOT NULL,               -- as claimed; so are the next two
  class TEXT NOT NULL,
  purpose TEXT NOT NULL,
  uses INTEGER NOT NULL,
  uses_before INTEGER NOT NULL,        -- how many of them were before the migration began
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  PRIMARY KEY (secret, way, network, machine, class, purpose)
) STRICT, WITHOUT ROWID;
CREATE INDEX api_key_users_by_last ON api_key_users (last);
