CREATE TABLE return_policies (
    policy_version bigint      PRIMARY KEY,
    effective_from timestamptz NOT NULL,
    refund_days    bigint      NOT NULL,
    text           jsonb       NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON return_policies TO orderflow_service;
