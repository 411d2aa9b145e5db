"""The return policy: a default from the start, another one by an admin, and what stays under the old one."""

import asyncio

import pytest

from services.returns.commands import adopt_default_policy
from tests.integration.services.returns.desk import Desk
from tests.integration.services.returns.orders import Order

pytestmark = pytest.mark.integration


async def test_the_default_is_adopted_once_and_never_again(desk: Desk) -> None:
    changed = await desk.admin.call("PUT", "/return-policy", {"window_days": 14})
    assert (changed.json()["policy_version"], changed.headers["etag"]) == (2, '"2"')

    await asyncio.gather(*(adopt_default_policy(desk.store) for _ in range(3)))

    assert await desk.types("returnpolicy") == ["ReturnPolicyAdopted"] * 2
    policy = await desk.stranger.get("/return-policy")
    assert (policy["window_days"], policy["policy_version"]) == (14, 2)
    assert policy["text"]["en"].startswith("You have 30 days")


async def test_several_first_processes_adopt_one_default(desk: Desk) -> None:
    async with desk.store.pool.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM return_policies") == 1
    await asyncio.gather(*(adopt_default_policy(desk.store) for _ in range(4)))
    assert await desk.types("returnpolicy") == ["ReturnPolicyAdopted"]


async def test_only_an_admin_changes_it_and_only_sensibly(desk: Desk) -> None:
    refused = await desk.clerk.refused("PUT", "/return-policy", {"window_days": 1}, status=403)
    assert refused["code"] == "forbidden"
    for wrong in (
        {"window_days": -1},
        {"refund_days": 10**30},
        {"restocking_fee_bp": 10_001},
        {"return_shipping_fee": [{"amount": -1, "currency": "GBP"}]},
        {"text": {"en": " "}},
    ):
        refusal = await desk.admin.refused("PUT", "/return-policy", wrong, status=422)
        assert refusal["code"] == "invalid_policy"
    stale = await desk.admin.refused("PUT", "/return-policy", {}, status=412, If_Match='"9"')
    assert stale["code"] == "stale_version"
    assert (await desk.admin.call("PUT", "/return-policy", {})).headers["etag"] == '"1"'


async def test_a_return_stays_under_the_policy_that_it_was_requested_under(desk: Desk) -> None:
    order = await desk.hear(Order().delivered())
    asked = await desk.ask(order, 1)
    await desk.admin.call("PUT", "/return-policy", {"restocking_fee_bp": 5000, "refund_days": 1})

    received = await desk.receive(asked, 1)

    assert received["policy_version"] == 1
    assert (await desk.refund_of(asked))["breakdown"]["fee"] == 0
    late = await desk.ask(order, 1)
    await desk.receive(late, 1)
    assert (await desk.refund_of(late))["breakdown"]["fee"] == 166
    assert all(result.equal for result in (await desk.rebuilt()).values())
