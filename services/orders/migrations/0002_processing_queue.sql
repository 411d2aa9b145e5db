CREATE TABLE processing_queue (
    order_id     uuid        PRIMARY KEY,
    confirmed_at timestamptz NOT NULL,
    process_by   timestamptz NOT NULL
);
CREATE INDEX processing_queue_process_by ON processing_queue (process_by);
GRANT SELECT, INSERT, UPDATE, DELETE ON processing_queue TO orderflow_service;
