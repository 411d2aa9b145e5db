-- Stripe's id of each intent, null until Stripe has answered; asked_at is the first asking, tried_at the last.
CREATE TABLE stripe_intents (
    intent_id uuid        PRIMARY KEY,
    asked_at  timestamptz NOT NULL,
    tried_at  timestamptz NOT NULL,
    ref       text
);
GRANT SELECT, INSERT, UPDATE, DELETE ON stripe_intents TO orderflow_service;
