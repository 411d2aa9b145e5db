-- One row per account stream.
CREATE TABLE account_rows (
    account      text   PRIMARY KEY,
    owner        text   NOT NULL,
    balance      bigint NOT NULL,
    moves        bigint NOT NULL,
    last_move_at timestamptz,
    memos        jsonb  NOT NULL
);
CREATE INDEX account_rows_owner ON account_rows (owner);
GRANT SELECT, INSERT, UPDATE, DELETE ON account_rows TO orderflow_service;
