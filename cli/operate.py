"""What operators do to a running platform: migrate, verify, rebuild, republish, mend and follow."""

import json
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from cli.platform import SERVICES, Platform, PlatformError, attach, service_of
from cli.prove import prove
from cli.report import print_proofs
from shared.messaging.cloudevents import KafkaRecord, Malformed, parse
from shared.messaging.subscription import Subscription
from shared.messaging.topic_reader import AppliedEvents
from shared.messaging.topics import PARTITIONS, ensure_topics, topic_of
from shared.service.clock import utc_now
from shared.store import marks
from shared.store.connection import open_pool
from shared.store.migrate import migrate, provision
from shared.store.outbox import PostgresOutbox
from shared.store.rebuild import rebuild
from shared.store.store import Definition


async def migrate_all(
    services: Sequence[str], admin_url: str | None, password: str | None, platform: Path | None
) -> int:
    """Migrate each service's database; with a superuser's address make databases and roles first."""
    if admin_url is None:
        addresses = attach(platform).services
        urls = {name: addresses[name].owner_database_url for name in services}
    elif not password:
        raise PlatformError("SERVICE_PASSWORD is missing: the service roles need a password")
    else:
        admin = await asyncpg.connect(admin_url)
        try:
            for name in services:
                await provision(admin, name, password)
        finally:
            await admin.close()
        urls = {name: _of_database(admin_url, name) for name in services}
    for name, url in urls.items():
        owner = await asyncpg.connect(url)
        try:
            applied = await migrate(owner, service_of(name).migrations)
        finally:
            await owner.close()
        print(f"{name}: {', '.join(applied) or 'nothing to do'}")
    return 0


async def create_topics(bootstrap: str, replication: int) -> int:
    """Create the services' topics where they are missing."""
    await ensure_topics(bootstrap, [topic_of(name) for name in SERVICES], replication=replication)
    return 0


async def verify(platform: Platform, *, quiescent: bool, as_json: bool) -> int:
    """All proofs; 1 if one does not hold."""
    proofs = await prove(platform, quiescent=quiescent, rebuild=True)
    if as_json:
        print(json.dumps(proofs.as_json(), indent=2))
    else:
        print_proofs(proofs)
    return 0 if proofs.ok else 1


async def rebuild_models(platform: Platform, name: str, read_model: str | None, *, swap: bool) -> int:
    """Rebuild one or all read models of a service; 1 if a live one was not what its events say."""
    service, settings = service_of(name), platform.settings_for(name)
    definition: Definition = service.define(settings)
    subscription = service.subscription(settings)
    heard = subscription.read_models if subscription else ()
    models = {model.name: model for model in (*definition.read_models, *heard)}
    if read_model is not None and read_model not in models:
        raise PlatformError(f"{name} has no read model {read_model!r}; it has {', '.join(sorted(models))}")
    unequal = 0
    pool = await open_pool(platform.services[name].owner_database_url, name=f"{name} rebuild", size=4)
    try:
        for model in models.values() if read_model is None else [models[read_model]]:
            foreign = _foreign(platform, subscription)
            result = await rebuild(pool, definition.registry, model, foreign=foreign, swap=swap)
            unequal += not result.equal
            verdict = "equal" if result.equal else f"was {result.live_hash}"
            if swap and not result.swapped:
                verdict += ", not swapped: a topic lacks events that were applied; republish, then try again"
            print(f"{name}.{model.name}: {result.rows} rows, {result.rebuilt_hash}, {verdict}")
    finally:
        await pool.close()
    return 1 if unequal else 0


def _foreign(platform: Platform, heard: Subscription | None) -> AppliedEvents | None:
    if heard is None:
        return None
    return AppliedEvents(platform.kafka_bootstrap_servers, heard.topics, heard.consumer, heard.registry)


async def republish(platform: Platform, name: str) -> int:
    """Put all public events of a service into its outbox again; its relay sends them."""
    definition = service_of(name).define(platform.settings_for(name))
    public = frozenset(decider.category for decider in definition.deciders if decider.public)
    connection = await asyncpg.connect(platform.services[name].owner_database_url)
    try:
        print(f"{name}: {await PostgresOutbox(connection).refill(public)} events will be sent again")
    finally:
        await connection.close()
    return 0


async def list_parked(platform: Platform, name: str, *, as_json: bool) -> int:
    """What waits at a service."""
    connection = await asyncpg.connect(platform.services[name].owner_database_url)
    try:
        rows = await connection.fetch(
            'SELECT stream_id, version, topic, partition, "offset", reason, error, attempts, retry_at, '
            "parked_at FROM parked ORDER BY parked_at"
        )
    finally:
        await connection.close()
    if as_json:
        print(orjson.dumps([dict(row) for row in rows], option=orjson.OPT_INDENT_2).decode())
        return 0
    for row in rows:
        print(
            f"{row['stream_id']} {row['version']} {row['reason']} tries={row['attempts']} "
            f"next={row['retry_at']:%H:%M:%S} {row['error'] or ''}".rstrip()
        )
    print(f"{len(rows)} parked", file=sys.stderr)
    return 0


async def retry_parked(platform: Platform, name: str, stream: str | None) -> int:
    """Make parked records due now; the service's consumer tries them within a second or two."""
    connection = await asyncpg.connect(platform.services[name].owner_database_url)
    try:
        status = await connection.execute(
            "UPDATE parked SET retry_at = $2 WHERE $1::text IS NULL OR stream_id = $1",
            stream,
            utc_now() - timedelta(seconds=1),
        )
    finally:
        await connection.close()
    print(f"{name}: {status.rsplit(' ', 1)[1]} will be tried again")
    return 0


async def skip_parked(platform: Platform, name: str, stream: str, version: int, by: str) -> int:
    """Move the mark over a parked version."""
    connection = await asyncpg.connect(platform.services[name].owner_database_url)
    try:
        async with connection.transaction():
            skipped = await marks.skip(connection, name, stream, version, by)
    except ValueError as error:
        raise PlatformError(str(error)) from None
    finally:
        await connection.close()
    if not skipped:
        raise PlatformError(
            f"{name} has not parked version {version} of {stream}; see: orderflow parked list"
        )
    print(f"{name}: skipped version {version} of {stream}")
    return 0


async def tail(
    platform: Platform, names: Sequence[str], *, from_start: bool, limit: int | None, as_json: bool
) -> int:
    """Print events as they come, until `limit` or an interruption."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=platform.kafka_bootstrap_servers, enable_auto_commit=False, metadata_max_age_ms=5000
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic_of(name), n) for name in names for n in range(PARTITIONS)])
        await (consumer.seek_to_beginning() if from_start else consumer.seek_to_end())
        count = 0
        async for record in consumer:
            print(_as_json(record) if as_json else _as_line(record), flush=True)
            count += 1
            if count == limit:
                break
    finally:
        await consumer.stop()
    return 0


def _as_line(record: KafkaRecord) -> str:
    try:
        event = parse(record)
    except Malformed as error:
        return f"!{record.topic}/{record.partition} {record.offset} malformed: {error}"
    text = (record.value or b"").decode(errors="replace")
    return f"{event.occurred_at:%H:%M:%S.%f} {event.stream} {event.version} {event.type} {text}"


def _as_json(record: KafkaRecord) -> str:
    place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    data: Any = None
    try:
        data = orjson.loads(record.value or b"null")
    except orjson.JSONDecodeError:
        data = (record.value or b"").decode(errors="replace")
    return orjson.dumps({**place, "headers": headers, "data": data}).decode()


def _of_database(admin_url: str, name: str) -> str:
    return urlunsplit(urlsplit(admin_url)._replace(path=f"/{name}"))
