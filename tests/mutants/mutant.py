"""A planted mistake: one small replacement in the code, and the tests or simulations that must notice it."""

from dataclasses import dataclass
from pathlib import Path


class Misplaced(Exception):  # noqa: N818 - what the mutant is
    """A mutant does not fit the code, or makes no program of it: the list has to be mended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """`old` stands once in `file` and becomes `new`; `mistake` says what a programmer would have done wrong.

    Each of `caught_by` must go red because of it: a pytest node id, or `orderflow simulate --seeds A..B`.
    """

    name: str
    mistake: str
    file: str
    old: str
    new: str
    caught_by: tuple[str, ...]

    def applied_to(self, text: str) -> str:
        """The file's text with the mistake in it. Raises Misplaced unless `old` stands there exactly once."""
        if (count := text.count(self.old)) != 1:
            raise Misplaced(f"{self.name}: {self.file} has its snippet {count} times, not once:\n{self.old}")
        mutated = text.replace(self.old, self.new)
        try:
            compile(mutated, self.file, "exec")
        except SyntaxError as error:
            raise Misplaced(f"{self.name}: {self.file} is no program with it: {error}") from error
        return mutated

    def text_in(self, tree: Path) -> str:
        """The file as it is in a tree. Raises Misplaced if it is not there."""
        path = tree / self.file
        if not path.is_file():
            raise Misplaced(f"{self.name}: there is no {self.file}")
        return path.read_text()

    def plant(self, tree: Path) -> None:
        """Make the mistake in a tree. Raises Misplaced."""
        (tree / self.file).write_text(self.applied_to(self.text_in(tree)))
