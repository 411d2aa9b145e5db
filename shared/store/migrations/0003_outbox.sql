-- Events that the topic does not have yet: a row leaves only after the broker acknowledged its event.
CREATE TABLE outbox (
    position bigint      PRIMARY KEY,
    since    timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, DELETE ON outbox TO orderflow_service;
