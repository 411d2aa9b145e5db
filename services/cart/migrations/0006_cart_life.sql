-- What inventory told of a sku, and what a cart became: an order, or part of another cart.
CREATE TABLE availability (
    sku       text   PRIMARY KEY,
    level     text,
    available bigint NOT NULL,
    version   bigint NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON availability TO orderflow_service;
ALTER TABLE cart_view ADD COLUMN order_id uuid, ADD COLUMN merged_into uuid;
UPDATE cart_view SET order_id = (checkout->>'order_id')::uuid WHERE checkout IS NOT NULL;
CREATE INDEX cart_view_orders ON cart_view (order_id) WHERE order_id IS NOT NULL;
-- Items know what a unit cost when it was added, as in the events that added them.
UPDATE cart_view SET items = (
    SELECT coalesce(jsonb_agg(item || jsonb_build_object('seen_price', added.data->'unit_price') ORDER BY place), '[]')
    FROM jsonb_array_elements(items) WITH ORDINALITY AS listed(item, place)
    JOIN LATERAL (
        SELECT convert_from(data, 'UTF8')::jsonb AS data FROM events
        WHERE stream_id = 'cart-' || cart_id AND type = 'CartItemAdded'
    ) AS added ON added.data->>'line_id' = item->>'line_id'
);
