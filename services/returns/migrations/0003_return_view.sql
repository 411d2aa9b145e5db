CREATE TABLE return_view (
    return_id        uuid        PRIMARY KEY,
    order_id         uuid        NOT NULL,
    version          bigint      NOT NULL,
    kind             text        NOT NULL,
    origin           text        NOT NULL,
    status           text        NOT NULL,
    lines            jsonb       NOT NULL,
    policy_version   bigint      NOT NULL,
    requested_at     timestamptz NOT NULL,
    answer_by        timestamptz NOT NULL,
    approved         jsonb       NOT NULL,
    instructions_ref text,
    label            text,
    ship_by          timestamptz,
    receive_by       timestamptz,
    decline_reason   text,
    decline_note     text,
    receipts         jsonb       NOT NULL,
    received_at      timestamptz,
    complete         boolean     NOT NULL,
    outcome          text
);
CREATE INDEX return_view_order ON return_view (order_id);
CREATE INDEX return_view_status ON return_view (status, return_id);
GRANT SELECT, INSERT, UPDATE, DELETE ON return_view TO orderflow_service;
