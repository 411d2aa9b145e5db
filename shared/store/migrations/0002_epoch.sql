-- Rises when this store is restored from a backup, so that consumers notice re-used versions.
CREATE TABLE epoch (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch    integer NOT NULL
);
INSERT INTO epoch (epoch) VALUES (1);
GRANT SELECT ON epoch TO orderflow_service;
