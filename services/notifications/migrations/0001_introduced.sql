-- Since when this consumer reacts to what it hears. Older events only project: nobody gets mail about history.
CREATE TABLE introduced (
    name  text        PRIMARY KEY,
    since timestamptz NOT NULL DEFAULT now()
);
INSERT INTO introduced (name) VALUES ('notifications');
GRANT SELECT ON introduced TO orderflow_service;
