"""Refusals of the provider, as RFC 9457 problem documents."""

from typing import Any


class Problem(Exception):  # noqa: N818 - it is a document first
    """An answer that is not a success. `code` is for programs, `detail` for people."""

    def __init__(self, status: int, code: str, detail: str, **extra: Any) -> None:
        super().__init__(f"{code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.extra = extra

    def document(self) -> dict[str, Any]:
        """The JSON body."""
        return {
            "type": f"urn:sandbox-provider:problem:{self.code}",
            "title": self.code.replace("_", " ").capitalize(),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            **self.extra,
        }
