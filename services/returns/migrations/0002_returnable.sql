CREATE TABLE returnable (
    order_id       uuid    PRIMARY KEY,
    customer_id    uuid,
    subject_id     uuid,
    titles         jsonb   NOT NULL,
    currency       text    NOT NULL,
    cancelled      boolean NOT NULL,
    lines          jsonb   NOT NULL,
    shipping_gross bigint  NOT NULL,
    charged        bigint  NOT NULL,
    granted        bigint  NOT NULL,
    overclaimed    bigint  NOT NULL
);
CREATE INDEX returnable_broken ON returnable (order_id) WHERE overclaimed > 0 OR granted > charged;
GRANT SELECT, INSERT, UPDATE, DELETE ON returnable TO orderflow_service;
