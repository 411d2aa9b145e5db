"""What orderflow is measured against; only modules in here import a peer's library."""
