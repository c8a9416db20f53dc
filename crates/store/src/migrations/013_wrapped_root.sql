-- What everything secret here is encrypted or hashed under, itself encrypted under the key-encryption key: so that one may take the
-- other's place. Empty where it is the key-encryption key itself, as it was before.
ALTER TABLE meta ADD COLUMN root BLOB;
-- Since when this key-encryption key is the one.
ALTER TABLE meta ADD COLUMN kek_since INTEGER;
