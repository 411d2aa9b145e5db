CREATE TABLE pricing_policies (
    version        bigint      PRIMARY KEY,
    document       jsonb       NOT NULL,
    effective_from timestamptz NOT NULL,
    adopted_by     text        NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON pricing_policies TO orderflow_service;
