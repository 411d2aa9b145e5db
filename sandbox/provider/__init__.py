"""The sandbox payment provider: a small HTTP service with its own ledger. See README.md."""
