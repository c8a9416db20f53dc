-- Whoever reports a registration access token need not know whose it is.
CREATE INDEX registrations_by_fingerprint ON registrations (fingerprint);
