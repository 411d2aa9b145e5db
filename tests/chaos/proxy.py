"""A wire between the shop and its payment provider that can be slow, cut, or answered by nobody."""

import asyncio
from contextlib import suppress
from enum import StrEnum

from tests.waiting import pause

MOST_BYTES = 2**20


class Wire(StrEnum):
    """What happens to a request on this wire."""

    GOOD = "GOOD"
    SLOW = "SLOW"
    FAILING = "FAILING"
    CUT = "CUT"
    REFUSED = "REFUSED"


class Proxy:
    """Listens on 127.0.0.1:`port` and passes HTTP requests on to 127.0.0.1:`upstream`.

    SLOW: answers come `latency` seconds late. FAILING: 503, and the provider hears nothing. CUT: the provider
    does its work, and its answer is lost. REFUSED: nobody listens.
    """

    def __init__(self, port: int, upstream: int) -> None:
        self.port = port
        self._upstream = upstream
        self._server: asyncio.Server | None = None
        self._mode = Wire.GOOD
        self._latency = 0.0
        self._open: set[asyncio.StreamWriter] = set()

    async def set(self, mode: Wire, latency: float = 0.0) -> None:
        """Behave so from the next request on."""
        self._mode, self._latency = mode, latency
        if mode is Wire.REFUSED:
            await self.close()
        elif self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def close(self) -> None:
        """Listen no more, and hang up."""
        if self._server:
            self._server.close()
            self._server = None
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while request := await _message(reader):
                if not await self._answer(request, writer):
                    break
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self._open.discard(writer)
            if self._mode is Wire.CUT:
                writer.transport.abort()
            writer.close()

    async def _answer(self, request: bytes, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection goes on."""
        mode, latency = self._mode, self._latency
        if mode is Wire.FAILING:
            body = b'{"code": "try_again"}'
            head = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
            writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
            return True
        answer = await self._pass_on(request)
        if mode is Wire.CUT or answer is None:
            return False
        if mode is Wire.SLOW:
            await pause(latency)
        writer.write(answer)
        await writer.drain()
        return True

    async def _pass_on(self, request: bytes) -> bytes | None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._upstream, limit=MOST_BYTES)
        try:
            writer.write(request)
            return await _message(reader)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def _message(reader: asyncio.StreamReader) -> bytes | None:
    """One HTTP message with a Content-Length, or none if the other side hung up between two."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = int(value)
    return head + await reader.readexactly(length)
