"""How a pure core says no."""

from collections.abc import Mapping


class Rejected(Exception):  # noqa: N818 - a refusal is an answer, not an error
    """A command that the rules refuse; nothing was decided and no event exists.

    `code` is stable snake_case and part of the public contract (it names the problem type over HTTP);
    `detail` tells a person what to do; `extra` holds machine-readable members such as `skus`.
    """

    def __init__(self, code: str, detail: str, **extra: object) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.extra: Mapping[str, object] = extra
