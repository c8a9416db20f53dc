-- What is demanded of how a person proved who they are (RFC 9470): of every grant to a client, of each scope of a resource, and
-- of whoever approves a device login. Empty where nothing is.
ALTER TABLE clients ADD COLUMN demand TEXT;
ALTER TABLE resources ADD COLUMN demands TEXT;
ALTER TABLE device_grants ADD COLUMN demand TEXT;
