"""A small disk that can be filled: a tmpfs in a mount namespace of this process's own.

The kernel takes the mount away with the last process that sees it, so nothing can be left behind.
"""

import ctypes
import os
from contextlib import suppress
from pathlib import Path

CLONE_NEWNS = 0x00020000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
SIZE = 384 * 2**20
BLOCK = bytes(4096)
MNT_DETACH = 2


class CannotMount(Exception):  # noqa: N818
    """This machine does not let us; the message says what it does not permit."""


def hide_mounts() -> None:
    """Give this process, and whatever it starts, mounts of its own. Raises CannotMount.

    To be called in the main thread before there are others.
    """
    _libc("unshare", CLONE_NEWNS)
    _libc("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)


class Disk:
    """A file system of SIZE bytes at `path` in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def mount(self) -> None:
        """Raises CannotMount."""
        self.path.mkdir(parents=True)
        _libc("mount", b"tmpfs", os.fsencode(self.path), b"tmpfs", 0, b"size=%d,mode=0755" % SIZE)

    def fill(self) -> None:
        """Leave no free byte."""
        with self._ballast.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(BLOCK)

    def free(self) -> None:
        """Give back what `fill` took."""
        self._ballast.unlink(missing_ok=True)

    def unmount(self) -> None:
        """Take it away, with all that is on it, at the latest when the last file on it is closed."""
        _libc("umount2", os.fsencode(self.path), MNT_DETACH)


def _libc(function: str, *arguments: object) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, function):
        raise CannotMount(f"{function} is not there")
    if getattr(library, function)(*arguments) != 0:
        raise CannotMount(f"{function}: {os.strerror(ctypes.get_errno())}")
