"""Requests that no server received, for what reads only their headers."""

from fastapi import Request


def request(**headers: str) -> Request:
    """A request with these headers; `_` in a name stands for `-`."""
    raw = [(name.replace("_", "-").lower().encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw})
