-- What this service still has to do, now or later: timers, commands that follow from its own events, outside calls.
CREATE TABLE todo (
    todo_id        uuid        PRIMARY KEY,
    kind           text        NOT NULL CHECK (kind IN ('TIMER', 'COMMAND', 'EFFECT')),
    name           text        NOT NULL,
    stream_id      text        NOT NULL,
    payload        jsonb       NOT NULL,
    due            timestamptz NOT NULL,
    correlation_id uuid        NOT NULL,
    causation_id   uuid,
    attempts       integer     NOT NULL DEFAULT 0,
    lease          uuid,
    leased_until   timestamptz,
    last_error     text,
    created_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX todo_due ON todo (due);
CREATE INDEX todo_stream ON todo (stream_id);
GRANT SELECT, INSERT, UPDATE, DELETE ON todo TO orderflow_service;
