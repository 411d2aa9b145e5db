CREATE TABLE stock_movements (
    movement_id uuid        PRIMARY KEY,
    sku         text        NOT NULL,
    location_id uuid        NOT NULL,
    kind        text        NOT NULL,
    quantity    bigint      NOT NULL,
    reason      text,
    cause_id    uuid        NOT NULL,
    reverses    jsonb       NOT NULL,
    at          timestamptz NOT NULL
);
CREATE INDEX stock_movements_sku ON stock_movements (sku, location_id, at);
GRANT SELECT, INSERT, UPDATE, DELETE ON stock_movements TO orderflow_service;
