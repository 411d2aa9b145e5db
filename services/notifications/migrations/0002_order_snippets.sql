CREATE TABLE order_snippets (
    order_id       uuid   PRIMARY KEY,
    number         text   NOT NULL,
    locale         text   NOT NULL,
    currency       text   NOT NULL,
    name           text   NOT NULL,
    email          text   NOT NULL,
    address        text   NOT NULL,
    lines          jsonb  NOT NULL,
    shipping_title text   NOT NULL,
    totals         jsonb  NOT NULL,
    capture        text   NOT NULL,
    intents        jsonb  NOT NULL,
    captured       bigint NOT NULL,
    refunded       bigint NOT NULL,
    refund_due     bigint NOT NULL,
    shipped_units  bigint NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON order_snippets TO orderflow_service;
