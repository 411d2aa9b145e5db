CREATE TABLE orphan_payments (
    orphan_id     uuid        PRIMARY KEY,
    provider      text        NOT NULL,
    provider_ref  text        NOT NULL,
    kind          text        NOT NULL,
    amount        bigint      NOT NULL,
    currency      text        NOT NULL,
    claimed_order text,
    status        text        NOT NULL,
    received_at   timestamptz NOT NULL,
    refund_at     timestamptz NOT NULL,
    attempts      bigint      NOT NULL,
    last_failure  text,
    refunded      bigint      NOT NULL,
    refund_ref    text,
    order_id      uuid
);
CREATE INDEX orphan_payments_newest ON orphan_payments (received_at DESC, orphan_id DESC);
GRANT SELECT, INSERT, UPDATE, DELETE ON orphan_payments TO orderflow_service;
