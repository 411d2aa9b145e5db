-- The last event of each foreign stream whose effects this consumer has committed.
CREATE TABLE marks (
    consumer  text    NOT NULL,
    stream_id text    NOT NULL,
    epoch     integer NOT NULL,
    version   integer NOT NULL,
    PRIMARY KEY (consumer, stream_id)
);
GRANT SELECT, INSERT, UPDATE ON marks TO orderflow_service;
