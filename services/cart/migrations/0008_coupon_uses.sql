CREATE TABLE coupon_uses (
    code       text    NOT NULL,
    order_id   uuid    NOT NULL,
    given_back boolean NOT NULL,
    PRIMARY KEY (code, order_id)
);
CREATE INDEX coupon_uses_orders ON coupon_uses (order_id);
GRANT SELECT, INSERT, UPDATE, DELETE ON coupon_uses TO orderflow_service;
