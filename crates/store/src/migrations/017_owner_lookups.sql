-- Whether somebody answers for anything is asked at each page of theirs.
CREATE INDEX clients_by_owner_person ON clients (owner_person) WHERE owner_person IS NOT NULL;
CREATE INDEX clients_by_owner_team ON clients (owner_team) WHERE owner_team IS NOT NULL;
CREATE INDEX resources_by_owner_person ON resources (owner_person) WHERE owner_person IS NOT NULL;
CREATE INDEX resources_by_owner_team ON resources (owner_team) WHERE owner_team IS NOT NULL;
