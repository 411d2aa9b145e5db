"""The in-memory store gives every row and answers every question that services ask as Postgres does."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.store.connection import open_pool
from shared.store.postgres import Postgres
from shared.store.readmodel import Table
from shared.store.session import Backend
from shared.testing.conditions import UnknownCondition, choose
from shared.testing.memory.database import Database
from shared.testing.memory.session import Memory
from tests.conftest import databases
from tests.integration.bank.services import close
from tests.integration.contract.questions import ROOT, SERVICES, Question, questions, rows, tables

pytestmark = pytest.mark.integration

QUESTIONS = [question for service in SERVICES for question in questions(service)]
TABLES = [(service, table) for service in SERVICES for table in set(tables(service).values())]
TABLES.sort(key=lambda each: (each[0], each[1].name))


@pytest.fixture(scope="module")
async def both(postgres: str) -> AsyncIterator[dict[str, tuple[Backend, Backend]]]:
    """Each service's database in Postgres and in memory, with the same rows."""
    async with databases(postgres) as make:
        made: dict[str, tuple[Backend, Backend]] = {}
        pools = []
        for service in SERVICES:
            database = await make(ROOT / service / "migrations", service)
            pools.append(await open_pool(database.url, name="contract", size=1))
            made[service] = Postgres(pools[-1]), Memory(Database(lambda: datetime.now(UTC)))
        for service, table in TABLES:
            for backend in made[service]:
                async with backend.transaction() as session:
                    for row in some_rows(table):
                        assert await session.insert(table, row)
        yield made
        for pool in pools:
            await close(pool)


def some_rows(table: Table[Any]) -> list[Any]:
    return rows(table, random.Random(table.name))


@pytest.mark.parametrize(("service", "table"), TABLES, ids=lambda each: getattr(each, "name", each))
async def test_every_row_of_every_service_comes_back_as_it_was(
    both: dict[str, tuple[Backend, Backend]], service: str, table: Table[Any]
) -> None:
    written = some_rows(table)
    for backend in both[service]:
        async with backend.session() as session:
            assert [await session.find(table, table.key_of(row)) for row in written] == written
            assert len(await session.query(table, "true")) == len(written)


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
async def test_every_question_has_the_same_answer(
    both: dict[str, tuple[Backend, Backend]], question: Question
) -> None:
    real, memory = both[question.service]
    total = set(question.table.key) <= set(question.order)
    answered = 0
    async with real.session() as one, memory.session() as other:
        for arguments in question.arguments(some_rows(question.table), random.Random(1)):
            expected = await one.query(question.table, question.condition, *arguments)
            found = await other.query(question.table, question.condition, *arguments)
            answered += len(expected)
            assert sorted_by(found, question.order) == sorted_by(expected, question.order), arguments
            if total:
                assert found == expected, arguments
            elif "LIMIT" not in question.condition:
                assert sorted(found, key=repr) == sorted(expected, key=repr), arguments
    assert answered > 0, "the arguments select nothing"


def sorted_by(found: list[Any], order: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """What the order speaks about; rows that are equal in it may come in any."""
    return [tuple(getattr(row, column) for column in order) for row in found]


def test_every_service_is_asked_something() -> None:
    assert {question.service for question in QUESTIONS} == set(SERVICES)
    assert len(QUESTIONS) >= 15


@pytest.mark.parametrize("condition", ["sku LIKE $1", "lower(sku) = $1", "sku = $1 OR active", "NOT active"])
def test_sql_that_the_in_memory_store_does_not_understand_is_refused(condition: str) -> None:
    with pytest.raises(UnknownCondition):
        choose([], condition, ["x"])
