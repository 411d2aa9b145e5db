-- One row per owner, fed by all of the owner's accounts.
CREATE TABLE holdings (
    owner    text   PRIMARY KEY,
    accounts bigint NOT NULL,
    total    bigint NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON holdings TO orderflow_service;
