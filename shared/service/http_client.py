"""A small HTTP/1.1 client for calls that are made all the time: kept connections, whole bodies, no frills."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import httptools

LONGEST_IDLE_S = 4.0
"""A connection that was idle for longer may just be being closed by the server, so it is not used again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body of a response."""

    status: int
    body: bytes

    @property
    def is_success(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300


class HttpClient:
    """Calls one server, over as many connections as there are calls at once. `timeout_s` bounds each call."""

    def __init__(self, base_url: str, *, timeout_s: float) -> None:
        address = urlsplit(base_url)
        if not address.hostname:
            raise ValueError(f"not an HTTP address: {base_url}")
        self.base_url = base_url.rstrip("/")
        self._tls = ssl.create_default_context() if address.scheme == "https" else None
        self._host, self._port = address.hostname, address.port or (443 if self._tls else 80)
        self._head = f"HTTP/1.1\r\nHost: {address.netloc}\r\n"
        self._timeout_s = timeout_s
        self._idle: list[_Connection] = []

    async def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """The answer, whatever its status. Raises OSError or TimeoutError if there is none.

        `path`, with its query, and `headers` are the caller's own and free of line breaks.
        """
        lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        request = f"{method} {path} {self._head}{lines}Content-Length: {len(body)}\r\n\r\n"
        if request.count("\r\n") != 4 + len(headers or {}) or request.count("\n") != request.count("\r\n"):
            raise ValueError("a path or header holds a line break")
        async with asyncio.timeout(self._timeout_s):
            connection = await self._connection()
            try:
                answer = await connection.ask(request.encode("latin-1") + body)
            except BaseException:
                connection.close()
                raise
        if connection.reusable:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    async def close(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            self._idle.pop().close()
        await asyncio.sleep(0)

    async def _connection(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and loop.time() - connection.idle_since < LONGEST_IDLE_S:
                return connection
            connection.close()
        _, made = await loop.create_connection(_Connection, self._host, self._port, ssl=self._tls)
        return made


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self.reusable = True
        self.idle_since = 0.0
        self._transport: asyncio.Transport | None = None
        self._parser: Any = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._body: list[bytes] = []

    async def ask(self, request: bytes) -> Answer:
        assert self._transport is not None
        self._parser, self._body = httptools.HttpResponseParser(self), []
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def close(self) -> None:
        self.reusable = False
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(ConnectionError(f"not HTTP: {error}"))

    def eof_received(self) -> None:
        self._fail(ConnectionResetError("the server hung up"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(ConnectionResetError(f"the connection was lost: {exc}"))

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        parser, self._parser = self._parser, None
        self.reusable = self.reusable and parser.should_keep_alive()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(Answer(parser.get_status_code(), b"".join(self._body)))

    def _fail(self, error: OSError) -> None:
        self.reusable = False
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)
