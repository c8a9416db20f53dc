-- Ids are the 16 bytes of a UUID, times are milliseconds since 1970 UTC, fingerprints are 32 bytes.
-- `disabled` is when a thing was taken out of use; empty while it is in use.

-- One row: what the store knows of itself.
CREATE TABLE meta (
  id INTEGER PRIMARY KEY CHECK (id = 0),
  kek_proof BLOB NOT NULL,             -- shows that the key-encryption key is the one it was made with
  ledger_key TEXT NOT NULL,            -- the public half of the key that signs checkpoints
  stamp INTEGER NOT NULL,              -- the greatest issue stamp given
  stamp_after_cut INTEGER NOT NULL,    -- whether that was a cut's, so that the next must be greater
  adopt_upto INTEGER NOT NULL,         -- sessions opened at or before this stamp may be ahead of their row
  frontier BLOB NOT NULL               -- the right edge of the ledger's tree
) STRICT;

CREATE TABLE orgs (
  id BLOB NOT NULL PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  title TEXT NOT NULL,
  administrators BLOB NOT NULL UNIQUE REFERENCES teams DEFERRABLE INITIALLY DEFERRED,
  access_token INTEGER,                -- the three lifetimes it may have shortened, in seconds
  session_idle INTEGER,
  session_absolute INTEGER,
  rungs TEXT,                          -- where keys of sign-ins may rest, separated by spaces; empty for anywhere
  disabled INTEGER,
  created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE signing_keys (
  org BLOB NOT NULL REFERENCES orgs,
  kid TEXT NOT NULL,
  sealed BLOB NOT NULL,                -- PKCS#8 under the key-encryption key
  created INTEGER NOT NULL,
  retired INTEGER,                     -- when it signed its last
  PRIMARY KEY (org, kid)
) STRICT, WITHOUT ROWID;

CREATE TABLE principals (
  id BLOB NOT NULL PRIMARY KEY,
  org BLOB NOT NULL REFERENCES orgs,
  handle TEXT NOT NULL,
  name TEXT NOT NULL,
  disabled INTEGER,
  created INTEGER NOT NULL,
  UNIQUE (org, handle)
) STRICT, WITHOUT ROWID;

CREATE TABLE teams (
  id BLOB NOT NULL PRIMARY KEY,
  org BLOB NOT NULL REFERENCES orgs,
  handle TEXT NOT NULL,
  disabled INTEGER,
  created INTEGER NOT NULL,
  UNIQUE (org, handle)
) STRICT, WITHOUT ROWID;

CREATE TABLE members (
  team BLOB NOT NULL REFERENCES teams,
  person BLOB NOT NULL REFERENCES principals,
  PRIMARY KEY (team, person)
) STRICT, WITHOUT ROWID;
CREATE INDEX members_by_person ON members (person);

CREATE TABLE clients (
  id BLOB NOT NULL PRIMARY KEY,
  org BLOB NOT NULL REFERENCES orgs,
  handle TEXT NOT NULL,
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  owner_person BLOB REFERENCES principals,
  owner_team BLOB REFERENCES teams,
  jwks TEXT,                           -- the keys it signs assertions with; empty for a public client
  grant_types TEXT NOT NULL,           -- separated by spaces
  redirect_uris TEXT NOT NULL,         -- separated by line feeds
  scopes TEXT NOT NULL,
  any_scope INTEGER NOT NULL,          -- whether it may ask for whatever the org's resources define
  device_flow_barred TEXT NOT NULL,
  older_assertions_until INTEGER,      -- until when its assertions may be of the form before RFC 10070
  disabled INTEGER,
  created INTEGER NOT NULL,
  UNIQUE (org, handle),
  CHECK ((owner_person IS NULL) <> (owner_team IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE resources (
  id BLOB NOT NULL PRIMARY KEY,
  org BLOB NOT NULL REFERENCES orgs,
  url TEXT NOT NULL,
  name TEXT NOT NULL,
  owner_person BLOB REFERENCES principals,
  owner_team BLOB REFERENCES teams,
  environment TEXT NOT NULL,
  scopes TEXT NOT NULL,
  server BLOB REFERENCES clients,      -- the client that may introspect tokens meant for it
  disabled INTEGER,
  created INTEGER NOT NULL,
  UNIQUE (org, url),
  CHECK ((owner_person IS NULL) <> (owner_team IS NULL))
) STRICT, WITHOUT ROWID;

-- The same machine under two people is two devices.
CREATE TABLE devices (
  id BLOB NOT NULL PRIMARY KEY,
  org BLOB NOT NULL REFERENCES orgs,
  principal BLOB NOT NULL REFERENCES principals,
  install TEXT NOT NULL,
  name TEXT NOT NULL,
  class TEXT NOT NULL,
  created INTEGER NOT NULL,
  seen INTEGER NOT NULL,
  copied INTEGER,                      -- when a copy of its sign-ins was last found elsewhere
  copied_to BLOB,                      -- the device that found it
  UNIQUE (principal, install)
) STRICT, WITHOUT ROWID;

-- A one-time link: for the set-up where it has no person, else for that person's enrolment.
CREATE TABLE links (
  fingerprint BLOB NOT NULL PRIMARY KEY,
  person BLOB REFERENCES principals,
  stamp INTEGER NOT NULL,
  expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX links_by_person ON links (person);
CREATE INDEX links_by_expiry ON links (expires);

CREATE TABLE passkeys (
  id BLOB NOT NULL PRIMARY KEY,
  org BLOB NOT NULL REFERENCES orgs,
  person BLOB NOT NULL REFERENCES principals,
  credential BLOB NOT NULL,            -- the authenticator's own id of it
  name TEXT NOT NULL,
  state TEXT NOT NULL,                 -- public key and counter, as the WebAuthn library writes them
  created INTEGER NOT NULL,
  used INTEGER,
  UNIQUE (org, credential)
) STRICT, WITHOUT ROWID;
CREATE INDEX passkeys_by_person ON passkeys (person);

CREATE TABLE ceremonies (
  fingerprint BLOB NOT NULL PRIMARY KEY,
  kind TEXT NOT NULL,
  bound_to BLOB,                       -- the fingerprint of the browser's secret
  state BLOB NOT NULL,
  expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX ceremonies_by_expiry ON ceremonies (expires);

-- A login to the issuer's own pages: one for each org and person.
CREATE TABLE web_sessions (
  fingerprint BLOB NOT NULL PRIMARY KEY,
  org BLOB NOT NULL REFERENCES orgs,
  person BLOB NOT NULL REFERENCES principals,
  authentication TEXT NOT NULL,
  stamp INTEGER NOT NULL,
  created INTEGER NOT NULL,
  seen INTEGER NOT NULL,
  expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX web_sessions_by_expiry ON web_sessions (expires);
CREATE INDEX web_sessions_by_use ON web_sessions (seen);

-- An authorization request that waits for its person to log in.
CREATE TABLE requests (
  fingerprint BLOB NOT NULL PRIMARY KEY,
  org BLOB NOT NULL REFERENCES orgs,
  client BLOB NOT NULL REFERENCES clients,
  request TEXT NOT NULL,
  expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX requests_by_expiry ON requests (expires);

CREATE TABLE codes (
  fingerprint BLOB NOT NULL PRIMARY KEY,
  credential BLOB NOT NULL,
  org BLOB NOT NULL REFERENCES orgs,
  client BLOB NOT NULL REFERENCES clients,
  principal BLOB NOT NULL REFERENCES principals,
  permitted TEXT NOT NULL,             -- what was agreed to
  redirect_uri TEXT NOT NULL,
  challenge BLOB NOT NULL,
  nonce TEXT,
  jkt BLOB,
  device TEXT,                         -- as the holder described its machine
  stamp INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  session BLOB,                        -- what it became, once it is spent
  keep_until INTEGER NOT NULL          -- a spent one is kept, so that a replay is known
) STRICT, WITHOUT ROWID;
CREATE INDEX codes_by_keeping ON codes (keep_until);

CREATE TABLE device_grants (
  id BLOB NOT NULL PRIMARY KEY,
  device_code BLOB NOT NULL UNIQUE,
  user_code BLOB NOT NULL,
  org BLOB NOT NULL REFERENCES orgs,
  client BLOB NOT NULL REFERENCES clients,
  scopes TEXT NOT NULL,
  resources TEXT NOT NULL,             -- separated by line feeds
  purpose TEXT,
  device TEXT,
  address TEXT NOT NULL,               -- of the requester, as we saw it
  jkt BLOB,
  pace INTEGER NOT NULL,               -- milliseconds that must lie between two polls
  polled INTEGER,
  state TEXT NOT NULL,                 -- waiting, approved, denied, spent
  principal BLOB REFERENCES principals,
  permitted TEXT,
  stamp INTEGER,
  answered INTEGER,
  session BLOB,
  created INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  UNIQUE (org, user_code)
) STRICT, WITHOUT ROWID;
CREATE INDEX device_grants_by_expiry ON device_grants (expires);

-- Wrong user codes of the running hour, by account and by network.
CREATE TABLE guesses (
  fingerprint BLOB NOT NULL PRIMARY KEY,
  wrong INTEGER NOT NULL,
  expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX guesses_by_expiry ON guesses (expires);

CREATE TABLE sessions (
  id BLOB NOT NULL PRIMARY KEY,
  org BLOB NOT NULL REFERENCES orgs,
  principal BLOB NOT NULL REFERENCES principals,
  client BLOB NOT NULL REFERENCES clients,
  device BLOB REFERENCES devices,
  permitted TEXT NOT NULL,             -- what was agreed to
  jkt BLOB,                            -- the key its refresh tokens are bound to; empty for a bearer's
  origin BLOB NOT NULL,                -- the code it came of, or the device grant: it becomes one session
  sealed BLOB NOT NULL,                -- its key under the key-encryption key
  stamp INTEGER NOT NULL,
  created INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  idle_until INTEGER NOT NULL,
  seen INTEGER NOT NULL,
  newest INTEGER NOT NULL,
  since INTEGER NOT NULL,
  retries INTEGER NOT NULL,
  network INTEGER,
  alternations INTEGER NOT NULL,
  rung TEXT,                           -- where its key rests, as its holder last said
  class TEXT                           -- the sort of machine, likewise
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_principal ON sessions (principal);
CREATE UNIQUE INDEX sessions_by_origin ON sessions (origin);

-- `target` is the axis's number and the id. The number 255 alone stands for everything, 254 for all that lives no longer
-- than an access token: they stay, and take over from cuts that are forgotten or lost in a restore.
CREATE TABLE cuts (
  target BLOB NOT NULL PRIMARY KEY,
  upto INTEGER NOT NULL,
  why TEXT NOT NULL,
  made INTEGER NOT NULL,
  keep_until INTEGER NOT NULL          -- nothing it could kill lives longer
) STRICT, WITHOUT ROWID;
CREATE INDEX cuts_by_keeping ON cuts (keep_until);

CREATE TABLE leases (
  id BLOB NOT NULL PRIMARY KEY,
  org BLOB NOT NULL REFERENCES orgs,
  principal BLOB REFERENCES principals,
  client BLOB NOT NULL REFERENCES clients,
  device BLOB REFERENCES devices,
  session BLOB,
  credential BLOB NOT NULL UNIQUE,
  connection INTEGER NOT NULL,         -- how often its run has connected
  deadline INTEGER,                    -- by when it must connect again; empty while it is connected
  expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX leases_by_deadline ON leases (deadline);
CREATE INDEX leases_by_expiry ON leases (expires);

-- Client assertions that were used, until they are over.
CREATE TABLE assertions (
  fingerprint BLOB NOT NULL PRIMARY KEY,
  expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX assertions_by_expiry ON assertions (expires);

-- Refusals of the running minute that were counted and not yet recorded, by subject and rule.
CREATE TABLE refusals (
  fingerprint BLOB NOT NULL PRIMARY KEY,
  org BLOB NOT NULL,
  principal BLOB,
  client BLOB,
  device BLOB,
  session BLOB,
  rule TEXT NOT NULL,
  more INTEGER NOT NULL,               -- how many came after the one that was recorded
  expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX refusals_by_expiry ON refusals (expires);

-- The ledger: `leaf` is what is hashed; the columns beside it are for finding it.
CREATE TABLE ledger (
  seq INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  latest INTEGER NOT NULL,             -- the latest `at` up to here: unlike that it never goes back, so it can be searched
  event TEXT NOT NULL,
  org BLOB,
  principal BLOB,
  client BLOB,
  device BLOB,
  session BLOB,
  hash BLOB NOT NULL,
  leaf TEXT NOT NULL
) STRICT;
CREATE INDEX ledger_by_principal ON ledger (principal, seq) WHERE principal IS NOT NULL;

-- Personal fields of entries: what may be erased.
CREATE TABLE ledger_personal (
  seq INTEGER PRIMARY KEY REFERENCES ledger,
  fields BLOB NOT NULL
) STRICT;

-- Complete inner nodes of the tree, from the level of 256 leaves up; lower ones are worked out from the leaves.
CREATE TABLE ledger_nodes (
  level INTEGER NOT NULL,
  position INTEGER NOT NULL,
  hash BLOB NOT NULL,
  PRIMARY KEY (level, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoints (
  size INTEGER PRIMARY KEY,
  note TEXT NOT NULL
) STRICT;
