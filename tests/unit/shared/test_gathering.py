"""Questions of one moment: one query, everybody's answer, everybody's failure."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from shared.store.gathering import Gathering


async def test_what_is_asked_at_once_is_one_query() -> None:
    asked: list[Sequence[int]] = []

    async def fetch(keys: Sequence[int]) -> Mapping[int, str]:
        asked.append(keys)
        return {key: f"{key}!" for key in keys if key < 3}

    lookup = Gathering(fetch)
    assert await asyncio.gather(*(lookup.get(key) for key in (1, 2, 1, 3))) == ["1!", "2!", "1!", None]
    assert await lookup.get(1) == "1!"
    assert asked == [[1, 2, 3], [1]]


async def test_a_failure_is_everybodys_and_the_next_question_is_asked_anew() -> None:
    answers: list[Mapping[int, str] | Exception] = [OSError("away"), {1: "one"}]

    async def fetch(_keys: Sequence[int]) -> Mapping[int, str]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    lookup = Gathering(fetch)
    outcomes = await asyncio.gather(lookup.get(1), lookup.get(2), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [OSError, OSError]
    assert await lookup.get(1) == "one"


async def test_one_who_gives_up_takes_nobody_along() -> None:
    go_on = asyncio.Event()

    async def fetch(keys: Sequence[int]) -> Mapping[int, str]:
        await go_on.wait()
        return dict.fromkeys(keys, "here")

    lookup = Gathering(fetch)
    impatient, patient = (asyncio.create_task(lookup.get(1)) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    go_on.set()
    assert await patient == "here"
    with pytest.raises(asyncio.CancelledError):
        await impatient
