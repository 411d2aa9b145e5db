"""What a person sees of an import on its way: lines about bad lines, and how far it is; on standard error."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

TELL_EVERY: Final = 10_000


class Teller:
    """Tells as plain lines, one for every TELL_EVERY products."""

    def __init__(self) -> None:
        self._products = 0

    def say(self, text: str) -> None:
        """One line."""
        print(text, file=sys.stderr)

    def reading(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """The lines of the file as they are read."""
        yield from lines

    def checked(self, products: int) -> None:
        """So many more products were checked."""
        before, self._products = self._products, self._products + products
        if before // TELL_EVERY < self._products // TELL_EVERY:
            self.say(f"{self._products} products checked")


class _Bar(Teller):
    """Tells by a bar that fills with the file's bytes."""

    def __init__(self, progress: Progress, size: int) -> None:
        super().__init__()
        self._progress = progress
        self._task = progress.add_task("products", total=size)

    def say(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def reading(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        for line in lines:
            self._progress.advance(self._task, len(line))
            yield line

    def checked(self, products: int) -> None:
        self._products += products
        self._progress.update(self._task, description=f"{self._products} products")


@contextmanager
def teller(file: Path) -> Iterator[Teller]:
    """A bar on a terminal, plain lines otherwise."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Teller()
        return
    columns = (BarColumn(), DownloadColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Bar(progress, file.stat().st_size)
