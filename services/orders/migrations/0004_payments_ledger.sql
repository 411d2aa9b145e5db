CREATE TABLE payments_ledger (
    kind         text        NOT NULL,
    id           uuid        NOT NULL,
    order_id     uuid        NOT NULL,
    intent_id    uuid,
    amount       bigint      NOT NULL,
    status       text        NOT NULL,
    late         boolean     NOT NULL,
    provider_ref text,
    at           timestamptz NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE INDEX payments_ledger_order ON payments_ledger (order_id, at);
GRANT SELECT, INSERT, UPDATE, DELETE ON payments_ledger TO orderflow_service;
