"""Idempotency-Key, If-Match and ETag over a real store, also when twins of a request run side by side."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from shared.events.envelope import Actor, ActorKind
from tests.integration.bank.accounts import Open
from tests.integration.bank.services import Teller
from tests.integration.service.accounts_http import bearer, open_counter
from tests.waiting import until

pytestmark = pytest.mark.integration

Withdraw = Callable[..., Coroutine[Any, Any, httpx.Response]]


@pytest.fixture
async def counter(teller: Teller) -> AsyncIterator[httpx.AsyncClient]:
    for account in ("a", "b"):
        await teller.do(Open(account=account, owner="ann"))
    async with open_counter(teller) as http:
        yield http


@pytest.fixture
def withdraw(counter: httpx.AsyncClient) -> Withdraw:
    async def send(
        amount: int = 10, key: str | None = None, account: str = "a", **headers: str
    ) -> httpx.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent["Idempotency-Key"] = key
        return await counter.post(f"/accounts/{account}/withdrawals", json={"amount": amount}, headers=sent)

    return send


async def balance(teller: Teller, account: str = "a") -> int:
    state = await teller.account(account)
    assert state is not None
    return state.balance


def code(response: httpx.Response) -> tuple[int, str]:
    """The status and the bare code of a problem."""
    return response.status_code, response.json()["type"].removeprefix("urn:orderflow:problem:")


@asynccontextmanager
async def nobody_can_append(teller: Teller) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """Inside the block units of work decide but wait to write; the value waits until so many of them do."""
    gate = await asyncpg.connect(teller.database.owner_url)
    watcher = await asyncpg.connect(teller.database.owner_url)

    async def waiting(count: int) -> None:
        await until(
            lambda: watcher.fetchval(
                "SELECT count(*) = $1 FROM pg_stat_activity WHERE datname = current_database() "
                "AND wait_event_type = 'Lock' AND query LIKE '%INSERT INTO events%'",
                count,
            ),
            what=f"{count} units of work want to append",
        )

    try:
        async with gate.transaction():
            await gate.execute("LOCK TABLE events IN SHARE MODE")
            yield waiting
    finally:
        await gate.close()
        await watcher.close()


async def test_a_repeat_gets_the_first_answer_whole(teller: Teller, withdraw: Withdraw) -> None:
    first = await withdraw(key="k")
    await withdraw(5)
    again = await withdraw(key="k")
    assert (first.status_code, first.json()) == (201, {"account": "a", "balance": -10})
    assert first.headers["etag"] == '"2"'
    assert (again.status_code, again.content, again.headers["etag"]) == (201, first.content, '"2"')
    assert again.headers["content-type"] == "application/json"
    assert int(again.headers["content-length"]) == len(again.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert await balance(teller) == -15


async def test_without_a_key_every_request_is_a_new_wish(teller: Teller, withdraw: Withdraw) -> None:
    for _ in range(2):
        assert (await withdraw()).status_code == 201
    assert await balance(teller) == -20


async def test_the_key_with_another_body_is_refused(teller: Teller, withdraw: Withdraw) -> None:
    await withdraw(10, "k")
    assert code(await withdraw(11, "k")) == (422, "idempotency_key_reused")
    assert await balance(teller) == -10


async def test_a_key_belongs_to_its_principal_and_its_route(teller: Teller, withdraw: Withdraw) -> None:
    await withdraw(10, "k")
    for other in (bearer("bob"), bearer("ann", ActorKind.OPERATOR)):
        assert "idempotent-replayed" not in (await withdraw(10, "k", **other)).headers
    assert "idempotent-replayed" not in (await withdraw(10, "k", account="b")).headers
    assert await balance(teller) == -30
    assert await balance(teller, "b") == -10


async def test_a_refusal_is_not_kept(teller: Teller, withdraw: Withdraw) -> None:
    assert code(await withdraw(2000, "k")) == (409, "limit")
    assert code(await withdraw(2000, "k")) == (409, "limit")
    assert (await withdraw(10, "k")).status_code == 201
    assert await balance(teller) == -10


@pytest.mark.parametrize("key", [b"", b"x" * 256, b"a\tb", b"a\xc2\x80b", b"a\x00"])
async def test_an_invalid_key_is_refused(teller: Teller, counter: httpx.AsyncClient, key: bytes) -> None:
    response = await counter.post(
        "/accounts/a/withdrawals", json={"amount": 1}, headers=[(b"Idempotency-Key", key)]
    )
    assert code(response) == (400, "invalid_idempotency_key")
    assert await balance(teller) == 0


async def test_the_longest_key_and_odd_letters_are_valid(withdraw: Withdraw) -> None:
    for key in ("x" * 255, "a b", "'; DROP TABLE events; --"):
        assert (await withdraw(1, key)).status_code == 201
        assert (await withdraw(1, key)).headers["idempotent-replayed"] == "true"


async def test_twins_run_once(teller: Teller, withdraw: Withdraw) -> None:
    answers = await asyncio.gather(*(withdraw(10, "k") for _ in range(6)))
    assert {(each.status_code, each.content, each.headers["etag"]) for each in answers} == {
        (201, answers[0].content, '"2"')
    }
    assert await balance(teller) == -10
    assert sum("idempotent-replayed" not in each.headers for each in answers) == 1


async def test_twins_that_decided_both_run_once(teller: Teller, withdraw: Withdraw) -> None:
    async with nobody_can_append(teller) as waiting:
        twins = asyncio.gather(withdraw(10, "k"), withdraw(10, "k"))
        await waiting(2)
    first, second = await twins
    assert (first.status_code, first.content) == (second.status_code, second.content) == (201, second.content)
    assert await balance(teller) == -10


async def test_a_twin_that_comes_too_late_for_its_own_wish_gets_the_answer(
    teller: Teller, withdraw: Withdraw
) -> None:
    """After the first, the money is short and the version another: alone, the second would be refused."""
    async with nobody_can_append(teller) as waiting:
        twins = asyncio.gather(*(withdraw(900, "k", If_Match='"1"') for _ in range(2)))
        await waiting(2)
    first, second = await twins
    assert (first.status_code, first.content) == (second.status_code, second.content) == (201, second.content)
    assert await balance(teller) == -900


async def test_one_key_with_two_bodies_at_once_is_one_wish(teller: Teller, withdraw: Withdraw) -> None:
    async with nobody_can_append(teller) as waiting:
        both = asyncio.gather(withdraw(900, "k"), withdraw(800, "k"))
        await waiting(2)
    done, refused = sorted(await both, key=lambda each: each.status_code)
    assert done.status_code == 201
    assert code(refused) == (422, "idempotency_key_reused")
    assert await balance(teller) == done.json()["balance"]


async def test_a_stale_version_changes_nothing(teller: Teller, withdraw: Withdraw) -> None:
    first = await withdraw(If_Match='"1"')
    stale = await withdraw(If_Match='"1"')
    assert code(stale) == (412, "stale_version")
    assert stale.headers["etag"] == first.headers["etag"] == '"2"'
    assert (await withdraw(If_Match=stale.headers["etag"])).status_code == 201
    assert code(await withdraw(If_Match='W/"3"')) == (412, "stale_version")
    assert (await withdraw(If_Match="*")).status_code == 201
    assert code(await withdraw(account="nowhere", If_Match="*")) == (412, "stale_version")
    assert await balance(teller) == -30


async def test_of_two_with_the_same_version_one_wins(teller: Teller, withdraw: Withdraw) -> None:
    async with nobody_can_append(teller) as waiting:
        both = asyncio.gather(*(withdraw(amount, If_Match='"1"') for amount in (1, 2)))
        await waiting(2)
    done, refused = sorted(await both, key=lambda each: each.status_code)
    assert done.status_code == 201
    assert code(refused) == (412, "stale_version")
    assert await balance(teller) == done.json()["balance"]


async def test_an_event_remembers_who_and_which_request(teller: Teller, withdraw: Withdraw) -> None:
    await withdraw(X_Request_Id=str(UUID(int=8)))
    event = (await teller.events())[-1]
    assert event.actor == Actor(ActorKind.CUSTOMER, "ann")
    assert event.causation_id == UUID(int=8)


async def test_a_database_that_hangs_up_is_a_503_and_the_same_key_may_come_again(
    teller: Teller, withdraw: Withdraw
) -> None:
    async with nobody_can_append(teller) as waiting:
        request = asyncio.create_task(withdraw(10, "k"))
        await waiting(1)
        owner = await asyncpg.connect(teller.database.owner_url)
        await owner.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND wait_event_type = 'Lock'"
        )
        await owner.close()
        response = await request
        assert code(response) == (503, "unavailable")
        assert response.headers["retry-after"] == "1"
    assert (await withdraw(10, "k")).status_code == 201
    assert await balance(teller) == -10
