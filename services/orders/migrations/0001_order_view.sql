CREATE TABLE order_view (
    order_id           uuid        PRIMARY KEY,
    order_number       text        NOT NULL,
    version            bigint      NOT NULL,
    placed_at          timestamptz NOT NULL,
    order_status       text        NOT NULL,
    payment_status     text        NOT NULL,
    fulfillment_status text        NOT NULL,
    total              bigint      NOT NULL,
    currency           text        NOT NULL,
    ship_by            timestamptz,
    delivered_at       timestamptz,
    placed             jsonb       NOT NULL,
    progress           jsonb       NOT NULL,
    timeline           jsonb       NOT NULL
);
CREATE INDEX order_view_newest ON order_view (placed_at DESC, order_id DESC);
CREATE INDEX order_view_status ON order_view (order_status, placed_at DESC, order_id DESC);
GRANT SELECT, INSERT, UPDATE, DELETE ON order_view TO orderflow_service;
