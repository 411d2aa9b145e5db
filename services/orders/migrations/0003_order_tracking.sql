CREATE TABLE order_tracking (
    shipment_id     uuid        PRIMARY KEY,
    order_id        uuid        NOT NULL,
    fulfillment_id  uuid        NOT NULL,
    lines           jsonb       NOT NULL,
    carrier         text,
    tracking_number text,
    tracking_url    text,
    status          text        NOT NULL,
    eta             date,
    shipped_at      timestamptz NOT NULL,
    delivered_at    timestamptz,
    proof           text
);
CREATE INDEX order_tracking_order ON order_tracking (order_id, shipped_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON order_tracking TO orderflow_service;
