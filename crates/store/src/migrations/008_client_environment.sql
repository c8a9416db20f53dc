-- The environment whose resources a client may have tokens for; empty for any.
ALTER TABLE clients ADD COLUMN environment TEXT;
