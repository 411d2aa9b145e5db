"""The small HTTP client: kept connections, every kind of body, and servers that misbehave."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from shared.service.http_client import Answer, HttpClient

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Server:
    """Answers request after request on each connection as it was told; None hangs up."""

    def __init__(self, answers: Sequence[bytes | None]) -> None:
        self.answers = list(answers)
        self.connections = 0
        self.requests: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self.answers:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                answer = self.answers.pop(0)
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
            else:
                await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(*answers: bytes | None, timeout_s: float = 5) -> AsyncIterator[tuple[Server, HttpClient]]:
    server = Server(answers)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    client = HttpClient(f"http://127.0.0.1:{port}/", timeout_s=timeout_s)
    try:
        yield server, client
    finally:
        await client.close()
        listening.close()
        await listening.wait_closed()


async def test_requests_follow_each_other_over_one_connection() -> None:
    async with serving(OK, b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n") as (server, client):
        first = await client.request("POST", "/a?b=c", headers={"X-Y": "z"}, body=b"body")
        second = await client.request("GET", "/d")

    assert first == Answer(200, b"hi")
    assert first.is_success
    assert second == Answer(404, b"")
    assert not second.is_success
    assert server.connections == 1
    assert server.requests[0].startswith(b"POST /a?b=c HTTP/1.1\r\n")
    assert b"\r\nX-Y: z\r\n" in server.requests[0]
    assert server.requests[0].endswith(b"\r\n\r\nbody")


async def test_requests_at_once_have_connections_of_their_own() -> None:
    async with serving(OK, OK, OK) as (server, client):
        answers = await asyncio.gather(*(client.request("GET", "/") for _ in range(3)))

    assert answers == [Answer(200, b"hi")] * 3
    assert server.connections == 3


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
    ],
)
async def test_bodies_in_chunks_and_connections_that_are_not_kept(answer: bytes) -> None:
    async with serving(answer, OK) as (_, client):
        assert await client.request("GET", "/") == Answer(200, b"hi")
        assert await client.request("GET", "/") == Answer(200, b"hi")


@pytest.mark.parametrize("answer", [None, b"SSH-2.0-OpenSSH\r\n\r\n"])
async def test_a_server_that_hangs_up_or_speaks_no_http_is_a_connection_error(answer: bytes | None) -> None:
    async with serving(answer, OK) as (_, client):
        with pytest.raises(ConnectionError):
            await client.request("GET", "/")
        assert await client.request("GET", "/") == Answer(200, b"hi")


async def test_a_server_that_does_not_answer_is_a_timeout() -> None:
    async with serving(b"", timeout_s=0.05) as (_, client):
        with pytest.raises(TimeoutError):
            await client.request("GET", "/")


async def test_nobody_there_is_a_connection_error() -> None:
    async with serving() as (_, client):
        pass
    with pytest.raises(ConnectionError):
        await client.request("GET", "/")


async def test_a_line_break_cannot_be_smuggled_in() -> None:
    async with serving(OK) as (server, client):
        for headers, path in (({"X": "a\r\nY: b"}, "/"), ({}, "/\r\nHost: x"), ({"X": "a\nb"}, "/")):
            with pytest.raises(ValueError, match="line break"):
                await client.request("GET", path, headers=headers)
    assert server.requests == []


def test_an_address_without_a_host_is_refused() -> None:
    with pytest.raises(ValueError, match="not an HTTP address"):
        HttpClient("nowhere", timeout_s=1)
