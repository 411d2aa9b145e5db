"""Becomes another program that cannot outlive its parent: `exec_child.py PARENT_PID USER PROGRAM ARGS…`.

Run as a script between fork and exec, so that no Python code runs in a forked copy of a process with threads.
USER may be empty. On Linux the kernel kills the program when its parent dies; elsewhere this is not done.
"""

import ctypes
import os
import pwd
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Drop to the user, tie this process to its parent, and become the program."""
    parent, user, *argv = sys.argv[1:]
    if user:
        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    if sys.platform == "linux":
        # After setuid, which would clear it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        sys.exit("the parent is gone already")
    try:
        os.execvp(argv[0], argv)  # noqa: S606
    except OSError as error:
        sys.exit(f"{argv[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
