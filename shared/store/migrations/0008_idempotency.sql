-- Answers already given, by Idempotency-Key: written in the transaction of the command that they answer.
CREATE TABLE idempotency (
    principal  text        NOT NULL,
    route      text        NOT NULL,
    key        text        NOT NULL,
    body_hash  bytea       NOT NULL,
    status     integer     NOT NULL,
    headers    jsonb       NOT NULL,
    body       bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (principal, route, key)
);
CREATE INDEX idempotency_created_at ON idempotency (created_at);
GRANT SELECT, INSERT, DELETE ON idempotency TO orderflow_service;
