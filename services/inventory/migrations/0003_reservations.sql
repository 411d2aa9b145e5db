CREATE TABLE reservations (
    order_id  uuid    PRIMARY KEY,
    status    text    NOT NULL,
    held      jsonb   NOT NULL,
    buyer     text,
    confirmed boolean NOT NULL
);
CREATE INDEX reservations_held ON reservations USING gin (held jsonb_path_ops);
GRANT SELECT, INSERT, UPDATE, DELETE ON reservations TO orderflow_service;
