"""stripe-mock, which knows Stripe's OpenAPI document: whatever it accepts, Stripe would understand.

`ORDERFLOW_TEST_STRIPE_MOCK` (an address) names one that runs already. Otherwise it is a container where
Docker answers and has the image, or the program `stripe-mock` on PATH or in Go's bin: nothing is fetched.
"""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from sandbox.command import Command, free_ports, running, tcp_open, wait_ready
from tests.backends import container_of, use_containers
from tests.integration.psp.fake_stripe import KEY, Sent

IMAGE = "stripe/stripe-mock:latest"
WHY_NOT = (
    f"stripe-mock answers nowhere: no ORDERFLOW_TEST_STRIPE_MOCK, no image {IMAGE} in Docker, "
    "and no program stripe-mock (go install github.com/stripe/stripe-mock@latest)"
)


class Mock:
    """A running stripe-mock."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def takes(self, sent: Sent) -> httpx.Response:
        """Its answer to one request."""
        content = sent.body.encode() if sent.method == "POST" else None
        headers = {"Authorization": f"Bearer {KEY.replace('_of_the_shop', '_123')}"}
        if content is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        path = sent.path + (f"?{sent.query}" if sent.query else "")
        return await self._http.request(sent.method, path, content=content, headers=headers)

    async def accepts(self, sent: Iterable[Sent]) -> None:
        """Every one of these requests is as Stripe documents it."""
        for each in dict.fromkeys(sent):
            answer = await self.takes(each)
            assert answer.status_code == 200, (each, answer.text)


@asynccontextmanager
async def mock_server() -> AsyncIterator[Mock | None]:
    """stripe-mock inside the block, or None."""
    async with _address() as url:
        if url is None:
            yield None
            return
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
            yield Mock(http)


@asynccontextmanager
async def _address() -> AsyncIterator[str | None]:
    if given := os.environ.get("ORDERFLOW_TEST_STRIPE_MOCK"):
        yield given
    elif use_containers(IMAGE):
        container = container_of(IMAGE).with_exposed_ports(12111)
        container.start()
        try:
            url = f"http://127.0.0.1:{container.get_exposed_port(12111)}"
            assert await wait_ready(lambda: _answers(url), 60)
            yield url
        finally:
            container.stop()
    elif program := _program():
        (port,) = free_ports(1)
        command = Command(argv=(program, "-http-port", str(port)))
        with tempfile.TemporaryDirectory(prefix="orderflow-test-") as folder:
            log = Path(folder) / "stripe-mock.log"
            async with running(command, ready=lambda: tcp_open(port), log=log):
                yield f"http://127.0.0.1:{port}"
    else:
        yield None


def _program() -> str | None:
    go = os.environ.get("GOPATH", str(Path.home() / "go"))
    return shutil.which("stripe-mock") or shutil.which("stripe-mock", path=str(Path(go) / "bin"))


async def _answers(url: str) -> bool:
    try:
        async with httpx.AsyncClient(trust_env=False) as http:
            await http.get(url)
    except httpx.HTTPError:
        return False
    return True
