"""The `orderflow` command. Exit codes: 0 done, 1 a proof failed, 2 it could not start or was misused."""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn
from uuid import UUID

import asyncpg
import typer
from aiokafka.errors import KafkaError

from cli import operate
from cli.catalog.exporting import ExportOptions, export_catalog
from cli.catalog.files import CatalogError, Encoding, Format
from cli.catalog.importing import ImportOptions, import_catalog
from cli.demo import command as demo_command
from cli.demo.client import GaveUp, Refused
from cli.demo.invoices import EXAMPLE, NotInvoices
from cli.demo.scenario import SEED
from cli.platform import SERVICES, STATE_DIR, PlatformError, attach
from cli.pricing import PolicyFileError, export_policy, import_policy
from cli.up import up as keep_up
from sandbox.command import StartError
from shared.events.envelope import ActorKind
from shared.service.settings import SettingsError
from shared.store.errors import CONNECTION_LOST

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)
parked_app = typer.Typer(help="Records that wait because they failed or came early.", no_args_is_help=True)
events_app = typer.Typer(help="The event topics.", no_args_is_help=True)
app.add_typer(parked_app, name="parked")
catalog_app = typer.Typer(help="The products that the shop sells, as files.", no_args_is_help=True)
pricing_app = typer.Typer(help="What is taxed how, what delivery costs, coupons.", no_args_is_help=True)
app.add_typer(events_app, name="events")
app.add_typer(catalog_app, name="catalog")
app.add_typer(pricing_app, name="pricing")

CANNOT = 2
INTERRUPTED = 130
FILE_ERRORS = (CatalogError, PolicyFileError)

Attach = Annotated[
    Path | None,
    typer.Option(help="File of the platform to work on [ORDERFLOW_PLATFORM, else .orderflow/platform.json]"),
]
Service = Annotated[str, typer.Argument(help=f"one of {', '.join(SERVICES)}")]
FileFormat = Annotated[
    Format | None,
    typer.Option("--format", help="Shopify's product CSV, or JSON Lines; as the file is called."),
]
Currency = Annotated[
    str | None, typer.Option(help="Of the CSV's prices; by default the only one that the shop sells in.")
]
Locale = Annotated[str, typer.Option(help="Of the CSV's titles.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command()
def demo(
    input_file: Annotated[Path, typer.Option("--input", help="CSV of invoices")] = EXAMPLE,
    repeat: Annotated[int, typer.Option(min=1, max=1000, help="Play the day so many times.")] = 1,
    seed: Annotated[int, typer.Option(help="Another seed tells another story.")] = SEED,
    at_once: Annotated[int, typer.Option(min=1, max=200, help="Purchases side by side.")] = 12,
    as_json: AsJson = False,
    platform: Annotated[
        Path | None, typer.Option("--attach", help="Play against this running platform instead of a new one.")
    ] = None,
) -> None:
    """Play a real trading day through all five services and prove that it adds up."""
    options = demo_command.Options(
        input=input_file,
        repeat=repeat,
        seed=seed,
        at_once=at_once,
        as_json=as_json,
        platform=attach(platform) if platform else None,
    )
    _end(demo_command.demo(options))


@app.command()
def simulate(
    seeds: Annotated[str, typer.Option(help="One seed, or the first and the last: 1..500.")] = "1..100",
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Seeds side by side.")] = os.cpu_count() or 1,
    trace: Annotated[bool, typer.Option(help="Print every step of every seed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run all services in one process under seeded faults and a virtual clock; every law must hold."""
    from cli.simulate import command  # noqa: PLC0415 - it loads every service

    try:
        wanted = command.seeds_of(seeds)
    except command.NotSeeds as error:
        _fail(error)
    options = command.Options(seeds=wanted, jobs=jobs, as_json=as_json, trace=trace)
    raise typer.Exit(0 if command.simulate(options) else 1)


@app.command()
def up(
    base_port: Annotated[int, typer.Option(min=1, max=65000, help="Services listen from here on.")] = 8100,
    state: Annotated[Path, typer.Option(help="Where databases, keys and logs are kept.")] = STATE_DIR,
) -> None:
    """Keep a whole platform running on this machine until Ctrl-C."""
    _end(keep_up(state, base_port))


@app.command()
def migrate(
    services: Annotated[list[str] | None, typer.Argument(help="which services; all by default")] = None,
    admin_url: Annotated[
        str | None,
        typer.Option(envvar="POSTGRES_ADMIN_URL", help="Superuser's address: makes databases and roles too."),
    ] = None,
    password: Annotated[
        str | None, typer.Option(envvar="SERVICE_PASSWORD", help="The service roles' password.")
    ] = None,
    platform: Attach = None,
) -> None:
    """Apply missing migrations, forward only; safe to repeat and to run beside another."""
    _end(operate.migrate_all(_known(services or list(SERVICES)), admin_url, password, platform))


@app.command()
def topics(
    bootstrap: Annotated[str, typer.Option(envvar="KAFKA_BOOTSTRAP_SERVERS")],
    replication: Annotated[int, typer.Option(envvar="KAFKA_REPLICATION", min=1)] = 1,
) -> None:
    """Create the topics that are missing."""
    _end(operate.create_topics(bootstrap, replication))


@app.command()
def token(
    kind: Annotated[ActorKind, typer.Argument(help="customer, operator or admin")],
    person: Annotated[str, typer.Argument(help="who; a UUID for a customer")],
    platform: Attach = None,
) -> None:
    """Print a token for twelve hours."""
    if kind not in (ActorKind.CUSTOMER, ActorKind.OPERATOR, ActorKind.ADMIN):
        raise typer.BadParameter(f"nobody signs in as {kind}")
    if kind is ActorKind.CUSTOMER and not _is_uuid(person):
        raise typer.BadParameter(f"a customer is a UUID; {person!r} is none")
    print(attach(platform).token(kind, person))


@app.command()
def verify(
    as_json: AsJson = False,
    platform: Attach = None,
    busy: Annotated[bool, typer.Option(help="Leave out what only holds when all is quiet.")] = False,
) -> None:
    """Prove from the events that all adds up; exit code 1 names the first violating event."""
    _end(operate.verify(attach(platform), quiescent=not busy, as_json=as_json))


@app.command()
def rebuild(
    service: Service,
    read_model: Annotated[str | None, typer.Argument(help="which one; all by default")] = None,
    dry_run: Annotated[bool, typer.Option(help="Compare only; the live tables stay.")] = False,
    platform: Attach = None,
) -> None:
    """Rebuild read models from the events, beside the running service; exit code 1 if they were not equal."""
    _end(operate.rebuild_models(attach(platform), _one(service), read_model, swap=not dry_run))


@app.command()
def republish(service: Service, platform: Attach = None) -> None:
    """Send every public event of a service to its topic again; consumers drop what they know."""
    _end(operate.republish(attach(platform), _one(service)))


@parked_app.command("list")
def parked_list(service: Service, as_json: AsJson = False, platform: Attach = None) -> None:
    """What waits, and why."""
    _end(operate.list_parked(attach(platform), _one(service), as_json=as_json))


@parked_app.command("retry")
def parked_retry(
    service: Service,
    stream: Annotated[str | None, typer.Argument(help="which stream; all by default")] = None,
    platform: Attach = None,
) -> None:
    """Try again now what waits for its next try."""
    _end(operate.retry_parked(attach(platform), _one(service), stream))


@parked_app.command("skip")
def parked_skip(
    service: Service,
    stream: Annotated[str, typer.Argument(help="stream, or !topic/partition of a malformed record")],
    version: Annotated[int, typer.Argument(help="version, or offset of a malformed record")],
    by: Annotated[str, typer.Option(help="who decides this")],
    platform: Attach = None,
) -> None:
    """Leave a waiting version out for good: the consumer goes on behind it."""
    _end(operate.skip_parked(attach(platform), _one(service), stream, version, by))


@events_app.command("tail")
def events_tail(
    service: Annotated[str | None, typer.Argument(help="whose events; all by default")] = None,
    from_start: Annotated[bool, typer.Option(help="From the oldest event on.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many.")] = None,
    as_json: AsJson = False,
    platform: Attach = None,
) -> None:
    """Follow events as they are told, without a consumer group."""
    names = [_one(service)] if service else list(SERVICES)
    _end(operate.tail(attach(platform), names, from_start=from_start, limit=limit, as_json=as_json))


@catalog_app.command("import")
def catalog_import(
    file: Annotated[Path, typer.Argument(help=".csv as Shopify exports it, or .jsonl")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, change nothing.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Take the good lines all the same.")] = False,
    stock: Annotated[bool, typer.Option(help="Count quantities in where none were from a file yet.")] = True,
    file_format: FileFormat = None,
    encoding: Annotated[Encoding, typer.Option(help="Of a CSV file.")] = Encoding.UTF_8,
    currency: Currency = None,
    locale: Locale = "en",
    platform: Attach = None,
) -> None:
    """Take products from a file, all or none; again, it changes nothing. Exit code 2: it has bad lines."""
    options = ImportOptions(
        file=file,
        format=file_format,
        encoding=encoding,
        currency=currency,
        locale=locale,
        dry_run=dry_run,
        skip_bad=skip_bad,
        stock=stock,
    )
    _end(import_catalog(attach(platform), options))


@catalog_app.command("export")
def catalog_export(
    file: Annotated[Path | None, typer.Argument(help=".csv or .jsonl; standard output by default")] = None,
    file_format: FileFormat = None,
    currency: Currency = None,
    locale: Locale = "en",
    platform: Attach = None,
) -> None:
    """Write all products to a file that can be imported again."""
    options = ExportOptions(file=file, format=file_format, currency=currency, locale=locale)
    _end(export_catalog(attach(platform), options))


@pricing_app.command("import")
def pricing_import(
    file: Annotated[Path, typer.Argument(help="the policy as JSON; - for standard input")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, change nothing.")] = False,
    platform: Attach = None,
) -> None:
    """Price by a policy, at once or from its effective_from on; again, it changes nothing. Exit code 2: it is
    not valid."""
    _end(import_policy(attach(platform), file, dry_run=dry_run))


@pricing_app.command("export")
def pricing_export(
    file: Annotated[Path | None, typer.Argument(help="standard output by default")] = None,
    at: Annotated[str | None, typer.Option(help="What holds then, as ISO 8601; by default now.")] = None,
    platform: Attach = None,
) -> None:
    """Write the policy that holds, to be changed and imported again."""
    _end(export_policy(attach(platform), file, at=at))


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _one(name: str) -> str:
    return _known([name])[0]


def _known(names: list[str]) -> list[str]:
    for name in names:
        if name not in SERVICES:
            raise PlatformError(f"no service is called {name!r}; there are {', '.join(SERVICES)}")
    return names


def _end(work: Coroutine[Any, Any, int]) -> NoReturn:
    """Run to the end and leave with its exit code."""
    sys.exit(asyncio.run(work))


def main() -> None:
    """Run the command line; a failure that a person can mend is one line and exit code 2."""
    try:
        app()
    except (PlatformError, StartError, SettingsError, NotInvoices, *FILE_ERRORS, GaveUp, Refused) as error:
        _fail(error)
    except (asyncpg.PostgresError, KafkaError, *CONNECTION_LOST) as error:
        _fail(f"the platform cannot be reached: {str(error) or type(error).__name__}")
    except (KeyboardInterrupt, asyncio.CancelledError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("orderflow: interrupted; nothing keeps running", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BaseExceptionGroup as group:
        expected, rest = group.split((PlatformError, StartError, NotInvoices, GaveUp, Refused))
        if expected is None or rest is not None:
            raise
        _fail(_first(expected))


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _fail(reason: object) -> NoReturn:
    print(f"orderflow: {' '.join(str(reason).split())}", file=sys.stderr)
    sys.exit(CANNOT)


if __name__ == "__main__":
    main()
