-- What hangs on a session is found by it, for the picture of what came of what.
CREATE INDEX leases_by_session ON leases (session) WHERE session IS NOT NULL;
