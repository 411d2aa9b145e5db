CREATE TABLE refund_queue (
    refund_id        uuid        PRIMARY KEY,
    order_id         uuid        NOT NULL,
    status           text        NOT NULL,
    version          bigint      NOT NULL,
    source           text,
    source_id        uuid,
    receipt_id       uuid,
    amount           bigint      NOT NULL,
    currency         text        NOT NULL,
    breakdown        jsonb,
    lines            jsonb       NOT NULL,
    proposed_by      uuid,
    proposed_at      timestamptz,
    approvals_needed bigint      NOT NULL,
    decide_by        timestamptz,
    approved_by      jsonb       NOT NULL,
    approved_at      timestamptz,
    note             text,
    failure          text,
    paid             bigint      NOT NULL,
    paid_at          timestamptz
);
CREATE INDEX refund_queue_source ON refund_queue (source_id);
CREATE INDEX refund_queue_order ON refund_queue (order_id);
CREATE INDEX refund_queue_status ON refund_queue (status, refund_id);
GRANT SELECT, INSERT, UPDATE, DELETE ON refund_queue TO orderflow_service;
