"""The services' faces, each opened when it is first asked for and kept for all tests of a file."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import pytest
import structlog

from tests.conftest import databases
from tests.integration.fuzz.faces import OPENERS, Face


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    """Thousands of expected failures, each with its whole stack, would take most of the time."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


FaceOf = Callable[[str], Awaitable[Face]]


@pytest.fixture(scope="module")
async def face_of(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FaceOf]:
    """`await face_of("orders")`."""
    opened: dict[str, Face] = {}
    async with AsyncExitStack() as stack:
        make = await stack.enter_async_context(databases(postgres))

        async def face(name: str) -> Face:
            if name not in opened:
                folder = tmp_path_factory.mktemp(name)
                opened[name] = await stack.enter_async_context(OPENERS[name](make, folder))
            return opened[name]

        yield face
