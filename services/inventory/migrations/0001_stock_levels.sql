CREATE TABLE stock_levels (
    sku             text   NOT NULL,
    location_id     uuid   NOT NULL,
    on_hand         bigint NOT NULL,
    held            bigint NOT NULL,
    damaged         bigint NOT NULL,
    quality_control bigint NOT NULL,
    safety_stock    bigint NOT NULL,
    low_threshold   bigint NOT NULL,
    version         bigint NOT NULL,
    PRIMARY KEY (sku, location_id)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON stock_levels TO orderflow_service;
