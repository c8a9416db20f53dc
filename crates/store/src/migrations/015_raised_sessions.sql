-- The session that a code, or a device login, is to raise (RFC 9470) and not to open. Empty where it opens one.
ALTER TABLE codes ADD COLUMN raises BLOB;
ALTER TABLE device_grants ADD COLUMN raises BLOB;
