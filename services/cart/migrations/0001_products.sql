CREATE TABLE products (
    sku     text    PRIMARY KEY,
    version bigint  NOT NULL,
    details jsonb   NOT NULL,
    prices  jsonb   NOT NULL,
    active  boolean NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON products TO orderflow_service;
