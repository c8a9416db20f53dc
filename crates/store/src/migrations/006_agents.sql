-- Software that acts for a person, as that person registered it.
CREATE TABLE agents (
  id BLOB NOT NULL PRIMARY KEY,
  org BLOB NOT NULL REFERENCES orgs,
  person BLOB NOT NULL REFERENCES principals,
  handle TEXT NOT NULL,
  kind TEXT NOT NULL,
  scopes TEXT NOT NULL,
  longest INTEGER NOT NULL,            -- of one run, in seconds
  budget TEXT NOT NULL,                -- of one run
  created INTEGER NOT NULL,
  retired INTEGER,                     -- since when it starts nothing any more
  UNIQUE (person, handle)
) STRICT, WITHOUT ROWID;

-- Runs of them. The id is the credential that all passes of a run come of.
CREATE TABLE runs (
  id BLOB NOT NULL PRIMARY KEY,
  org BLOB NOT NULL REFERENCES orgs,
  agent BLOB NOT NULL REFERENCES agents,
  person BLOB NOT NULL REFERENCES principals,
  client BLOB NOT NULL REFERENCES clients,
  device BLOB REFERENCES devices,
  session BLOB NOT NULL,               -- the person's, below which it runs
  above BLOB,                          -- the run that started it, if one did
  depth INTEGER NOT NULL,              -- 1 for what the person started
  scopes TEXT NOT NULL,                -- what it may have at most
  purpose TEXT NOT NULL,
  budget TEXT NOT NULL,
  used TEXT NOT NULL,
  resources TEXT NOT NULL,             -- the APIs it had passes for, separated by line feeds
  spent TEXT,                          -- which part of its budget it ran out of: its person is asked
  spent_at INTEGER,
  created INTEGER NOT NULL,
  seen INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  ended INTEGER,
  why TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX runs_by_person ON runs (person, expires);
CREATE INDEX runs_by_session ON runs (session);
CREATE INDEX runs_by_above ON runs (above) WHERE above IS NOT NULL;
CREATE INDEX runs_by_expiry ON runs (expires);

-- Who acted, in what is recorded later about a pass or a refusal.
ALTER TABLE leases ADD COLUMN agent BLOB;
ALTER TABLE leases ADD COLUMN run BLOB;
ALTER TABLE refusals ADD COLUMN agent BLOB;
ALTER TABLE refusals ADD COLUMN run BLOB;
