-- A signing key is published before it signs, and for a while after.
ALTER TABLE signing_keys ADD COLUMN signs_from INTEGER NOT NULL DEFAULT 0;
-- When something is to be done about it: it is to sign, to be replaced, or to be taken away.
ALTER TABLE signing_keys ADD COLUMN due INTEGER;
UPDATE signing_keys SET signs_from = created, due = created + 7776000000;
CREATE INDEX signing_keys_by_due ON signing_keys (due) WHERE due IS NOT NULL;
