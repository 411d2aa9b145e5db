"""An HTTP/1.1 client that costs next to nothing, because it shares the machine with what it measures."""

import asyncio
from collections import deque
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit

import orjson


class Failed(Exception):  # noqa: N818
    """The service gave no success; the message says what was asked and what came."""


class Client:
    """Keep-alive connections to one address, as many as requests are under way at once."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        assert address.hostname
        assert address.port
        self._host, self._port = address.hostname, address.port
        self._free: deque[_Connection] = deque()
        self._all: list[_Connection] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self._all:
            connection.close()

    async def call(
        self, method: str, path: str, *, token: str = "", body: Any = None, key: str = ""
    ) -> tuple[int, Any]:
        """The status and the answer's JSON (None for an empty one). `key` becomes the Idempotency-Key."""
        content = b"" if body is None else orjson.dumps(body)
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {len(content)}\r\n"
        if content:
            head += "Content-Type: application/json\r\n"
        if token:
            head += f"Authorization: Bearer {token}\r\n"
        if key:
            head += f"Idempotency-Key: {key}\r\n"
        connection = await self._connection()
        status, answer = await connection.ask(head.encode() + b"\r\n" + content)
        self._free.append(connection)
        return status, orjson.loads(answer) if answer else None

    async def done(self, method: str, path: str, **request: Any) -> Any:
        """The JSON of a success. Raises Failed for any other answer."""
        status, answer = await self.call(method, path, **request)
        if status >= 300:
            raise Failed(f"{method} {path}: {status} {answer}")
        return answer

    async def _connection(self) -> "_Connection":
        while self._free:
            connection = self._free.pop()
            if connection.open:
                return connection
        _, made = await asyncio.get_running_loop().create_connection(_Connection, self._host, self._port)
        self._all.append(made)
        return made


class _Connection(asyncio.Protocol):
    """One request at a time; reads the status, Content-Length and as much body as that says."""

    def __init__(self) -> None:
        self.open = False
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.open = True

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or self._answer is None or self._answer.done():
            return
        head = self._buffer[:end].lower()
        place = head.find(b"content-length:")
        length = int(head[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
        if len(self._buffer) >= end + 4 + length:
            body, self._buffer = self._buffer[end + 4 : end + 4 + length], b""
            self._answer.set_result((int(head[9:12]), body))

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        if self._answer and not self._answer.done():
            self._answer.set_exception(Failed(f"the connection was lost: {error}"))

    def close(self) -> None:
        if self.open:
            self._transport.close()
