CREATE TABLE mail_occasions (
    event_id       uuid        PRIMARY KEY,
    type           text        NOT NULL,
    schema_version bigint      NOT NULL,
    order_id       uuid        NOT NULL,
    at             timestamptz NOT NULL,
    data           jsonb       NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON mail_occasions TO orderflow_service;
