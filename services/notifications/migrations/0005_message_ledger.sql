CREATE TABLE message_ledger (
    message_id     uuid        PRIMARY KEY,
    cause_event_id uuid        NOT NULL,
    template       text        NOT NULL,
    recipient_hash text        NOT NULL,
    channel        text        NOT NULL,
    status         text        NOT NULL,
    at             timestamptz NOT NULL,
    order_id       uuid,
    locale         text,
    detail         text,
    resend_of      uuid,
    sent_at        timestamptz
);
CREATE INDEX message_ledger_order ON message_ledger (order_id);
CREATE INDEX message_ledger_at ON message_ledger (at, message_id);
CREATE INDEX message_ledger_status ON message_ledger (status);
GRANT SELECT, INSERT, UPDATE, DELETE ON message_ledger TO orderflow_service;
