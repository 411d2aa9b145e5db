"""Both providers, empty for every test; what was sent to Stripe goes to stripe-mock, too, if it is there."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.psp.mock import Mock, mock_server
from tests.integration.psp.places import Place, SandboxPlace, StripePlace


@pytest.fixture(scope="session")
async def mock() -> AsyncIterator[Mock | None]:
    """stripe-mock, or None where there is no way to run it."""
    async with mock_server() as found:
        yield found


@pytest.fixture
async def stripe_place(mock: Mock | None) -> AsyncIterator[StripePlace]:
    place = StripePlace()
    yield place
    await place.close()
    if mock is not None:
        await mock.accepts(place.fake.sent)


@pytest.fixture(params=["sandbox", "stripe"])
async def place(request: pytest.FixtureRequest, tmp_path: Path, mock: Mock | None) -> AsyncIterator[Place]:
    """One of the two providers."""
    if request.param == "sandbox":
        sandbox = SandboxPlace(tmp_path)
        yield sandbox
        await sandbox.close()
        return
    stripe = StripePlace()
    yield stripe
    await stripe.close()
    if mock is not None:
        await mock.accepts(stripe.fake.sent)
