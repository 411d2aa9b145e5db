"""A service's memory without Postgres: the same promises about visibility, in plain dictionaries.

It passes the same contract tests as Postgres (tests/integration/contract).
"""
