"""A way to a server that can be cut and mended, as a network would, without touching the server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, urlsplit, urlunsplit

from sandbox.command import free_ports

Pipe = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Gate:
    """Forwards a port of 127.0.0.1 to a server while it is open."""

    def __init__(self, connect: Callable[[], Awaitable[Pipe]]) -> None:
        self._connect = connect
        (self.port,) = free_ports(1)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Let connections through."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """Refuse new connections and drop those that stand."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            with suppress(OSError):
                far_reader, far_writer = await self._connect()
                self._writers.add(far_writer)
                try:
                    await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
                finally:
                    self._writers.discard(far_writer)
                    far_writer.transport.abort()
        finally:
            self._writers.discard(writer)
            writer.transport.abort()
            self._tasks.discard(task)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def gate_to(connect: Callable[[], Awaitable[Pipe]]) -> AsyncIterator[Gate]:
    """An open gate; cut in the end."""
    gate = Gate(connect)
    await gate.open()
    try:
        yield gate
    finally:
        await gate.cut()


def way_to_database(url: str) -> Callable[[], Awaitable[Pipe]]:
    """How to reach the server of this database, whether by Unix socket or TCP."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    port = int(query.get("port", [parts.port or 5432])[0])
    if "host" in query:
        path = f"{query['host'][0]}/.s.PGSQL.{port}"
        return lambda: asyncio.open_unix_connection(path)
    host = parts.hostname or "127.0.0.1"
    return lambda: asyncio.open_connection(host, port)


def through(gate: Gate, url: str) -> str:
    """The same database by way of the gate."""
    parts = urlsplit(url)
    who = parts.netloc.rpartition("@")[0]
    return urlunsplit((parts.scheme, f"{who}@127.0.0.1:{gate.port}", parts.path, "", ""))


def way_to_broker(bootstrap: str) -> Callable[[], Awaitable[Pipe]]:
    """How to reach this broker."""
    host, _, port = bootstrap.rpartition(":")
    return lambda: asyncio.open_connection(host, int(port))
