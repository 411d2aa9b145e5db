-- Records that wait because they failed or came before their turn; `stream_id` is `!topic/partition` and
-- `version` the offset where a record is too damaged to name its stream.
CREATE TABLE parked (
    consumer   text        NOT NULL,
    stream_id  text        NOT NULL,
    version    bigint      NOT NULL,
    topic      text        NOT NULL,
    partition  integer     NOT NULL,
    "offset"   bigint      NOT NULL,
    key        bytea,
    value      bytea,
    headers    jsonb       NOT NULL,
    reason     text        NOT NULL CHECK (reason IN ('EARLY', 'FAILED', 'MALFORMED')),
    error      text,
    attempts   integer     NOT NULL DEFAULT 0,
    retry_at   timestamptz NOT NULL DEFAULT now(),
    parked_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, stream_id, version)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON parked TO orderflow_service;

-- Versions that an operator decided to leave out; a rebuild leaves them out as well.
CREATE TABLE skipped (
    consumer   text        NOT NULL,
    stream_id  text        NOT NULL,
    version    bigint      NOT NULL,
    skipped_by text        NOT NULL,
    skipped_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, stream_id, version)
);
GRANT SELECT, INSERT ON skipped TO orderflow_service;
