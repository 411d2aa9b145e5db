-- What the payment provider told us, by its own id; processed_at is null until it became events.
CREATE TABLE received_webhooks (
    notice_id    text        PRIMARY KEY,
    body         text        NOT NULL,
    received_at  timestamptz NOT NULL,
    processed_at timestamptz
);
CREATE INDEX received_webhooks_waiting ON received_webhooks (received_at) WHERE processed_at IS NULL;
GRANT SELECT, INSERT, UPDATE ON received_webhooks TO orderflow_service;
