-- One past the first offset of the last batch that the broker acknowledged, per partition: a topic that ends
-- before it lost data.
CREATE TABLE relay_offsets (
    topic       text    NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint  NOT NULL,
    PRIMARY KEY (topic, partition)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON relay_offsets TO orderflow_service;
