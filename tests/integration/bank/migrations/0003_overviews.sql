-- One row per owner, fed by the auditor's own tallies and by what it hears.
CREATE TABLE overviews (
    owner    text   PRIMARY KEY,
    tallied  bigint NOT NULL,
    tallies  bigint NOT NULL,
    heard    bigint NOT NULL,
    accounts jsonb  NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON overviews TO orderflow_service;
