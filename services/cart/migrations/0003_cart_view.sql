CREATE TABLE cart_view (
    cart_id     uuid        PRIMARY KEY,
    version     bigint      NOT NULL,
    status      text        NOT NULL,
    customer_id uuid,
    subject_id  uuid        NOT NULL,
    currency    text        NOT NULL,
    locale      text        NOT NULL,
    items       jsonb       NOT NULL,
    delivery    jsonb       NOT NULL,
    checkout    jsonb,
    changed_at  timestamptz NOT NULL
);
CREATE INDEX cart_view_guests ON cart_view (subject_id) WHERE customer_id IS NULL;
GRANT SELECT, INSERT, UPDATE, DELETE ON cart_view TO orderflow_service;
