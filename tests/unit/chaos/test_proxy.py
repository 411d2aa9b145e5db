"""The wire to the provider breaks as it is told, and mends."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from sandbox.command import free_ports
from tests.chaos.proxy import Proxy, Wire

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone"


@dataclass
class Wired:
    """A server that counts its requests, behind a proxy, and a client of the proxy."""

    proxy: Proxy
    client: httpx.AsyncClient
    served: int = 0

    async def ask(self) -> tuple[int, str]:
        answer = await self.client.post("/work", json={"amount": 1})
        return answer.status_code, answer.text


@pytest.fixture
async def wired() -> AsyncIterator[Wired]:
    front, back = free_ports(2)

    async def serve(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"}")
        here.served += 1
        writer.write(ANSWER)
        await writer.drain()
        writer.close()

    proxy = Proxy(front, back)
    await proxy.set(Wire.GOOD)
    server = await asyncio.start_server(serve, "127.0.0.1", back)
    async with server, httpx.AsyncClient(base_url=f"http://127.0.0.1:{front}", trust_env=False) as client:
        here = Wired(proxy, client)
        yield here
        await proxy.close()


async def test_a_good_wire_passes_on(wired: Wired) -> None:
    assert [await wired.ask(), await wired.ask()] == [(200, "done"), (200, "done")]
    assert wired.served == 2


async def test_a_slow_wire_passes_on_late(wired: Wired) -> None:
    await wired.proxy.set(Wire.SLOW, 0.05)
    assert await wired.ask() == (200, "done")


async def test_a_failing_provider_never_hears(wired: Wired) -> None:
    await wired.proxy.set(Wire.FAILING)
    assert (await wired.ask())[0] == 503
    assert wired.served == 0


async def test_an_answer_is_lost_after_the_work_was_done(wired: Wired) -> None:
    await wired.proxy.set(Wire.CUT)
    with pytest.raises(httpx.TransportError):
        await wired.ask()
    assert wired.served == 1


async def test_nobody_listens_and_then_somebody_does(wired: Wired) -> None:
    await wired.ask()
    await wired.proxy.set(Wire.REFUSED)
    with pytest.raises(httpx.TransportError):
        await wired.ask()
    await wired.proxy.set(Wire.GOOD)
    assert await wired.ask() == (200, "done")
