-- What a team's members are in their org: `responder` or `auditor`; nothing for a team that only answers for things.
ALTER TABLE teams ADD COLUMN role TEXT;
