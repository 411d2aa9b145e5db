CREATE TABLE return_policies (
    policy_version bigint      PRIMARY KEY,
    document       jsonb       NOT NULL,
    adopted_by     text        NOT NULL,
    adopted_at     timestamptz NOT NULL,
    version        bigint      NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON return_policies TO orderflow_service;
