"""`python -m service`. A door: reads arguments and the environment."""

import atexit
import gc
import sys

if __name__ == "__main__":
    gc.disable()  # a thousand modules are read that all stay: to look for garbage takes a tenth of the start
    atexit.register(gc.freeze)  # else the last search, at the end, walks through all of them
    if sys.argv[1:2] == ["relabel"]:  # has no need of what serves HTTP, which takes half a second to read
        from service.relabel_command import by_itself

        gc.enable()
        by_itself(sys.argv[2:])

import logging
import os
import signal
import tempfile
from contextlib import nullcontext
from pathlib import Path
from socket import socket
from typing import Annotated

import orjson
import typer
from sqlalchemy.exc import SQLAlchemyError

import model
from model.lean import without_scipy
from service import copies, history, server, settings, telemetry
from service import database as databases
from service.app import create_app
from service.commands import actor, load_settings, open_database, refuse
from service.database import Database, DatabaseError
from service.desk import Desk
from service.forms import is_name, write_time
from service.models import Models, start
from service.relabel_command import relabel
from service.relabel_commands import relabels_cli
from service.security import SCOPES, KeyRing, can_enter, is_loopback
from service.settings import Settings
from service.worker import NICENESS, Worker
from service.workers import Companion, Workers

log = logging.getLogger("ruse.service")
# A traceback with its locals would print texts.
cli = typer.Typer(pretty_exceptions_enable=False, add_completion=False, no_args_is_help=True)
keys_cli = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys.")
cli.add_typer(keys_cli, name="keys")
cli.add_typer(relabels_cli, name="relabels")
cli.command()(relabel)

SHARED = "PROMETHEUS_MULTIPROC_DIR"  # what prometheus-client calls it; our counters lie there too


@cli.callback()
def main(context: typer.Context) -> None:
    """Serve the model over HTTP, and look after what the service stores."""
    if context.invoked_subcommand != "serve":  # which does so when it is ready
        gc.enable()


@cli.command()
def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; else RUSE_HOST, else 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port; else RUSE_PORT, else 8000; 0 takes a free one."),
    ] = None,
    listener: Annotated[int | None, typer.Option(hidden=True)] = None,
    parent: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Answer requests until SIGTERM. Settings come from RUSE_ variables, see docs/api.md."""
    telemetry.configure_logs()
    without_scipy()
    try:
        chosen = settings.load(host=host, port=port)
        models = start(chosen.models, lambda: past_models(chosen))
    except (settings.SettingsError, model.ModelError) as error:
        refuse(error.code, str(error))
    if chosen.database.startswith("sqlite"):  # what it writes besides holds texts, so it stays beside
        os.environ["SQLITE_TMPDIR"] = str(Path(chosen.database.partition("///")[2]).absolute().parent)
    if listener is not None:  # a worker
        run(chosen, models, socket(fileno=listener), parent)
        return
    for name in settings.unknown():
        log.warning("%s is no setting of the service; it is ignored", name)
    check_database(chosen)
    try:
        listening = server.listen(chosen.host, chosen.port)
    except OSError as error:
        where = f"{chosen.host} port {chosen.port}"
        refuse("address_unusable", f"{where}: {error.strerror}; choose another --host or --port")
    log.info("model %s listens on %s", models.current.manifest.version, server.url(listening))
    command = [sys.executable, "-m", "service"]
    with Companion([*command, "worker"]) if chosen.relabel_worker else nullcontext():
        if chosen.workers == 1:
            number = run_alone(chosen, models, listening)
        else:
            gc.enable()  # this process only looks after the others
            with tempfile.TemporaryDirectory(prefix="ruse-") as shared:
                command += ["serve", "--host", chosen.host]
                crew = Workers(command, chosen.workers, listening, os.environ | {SHARED: shared})
                number = crew.run(Path(shared), chosen.drain + chosen.grace)
    if number is not None:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


def run_alone(chosen: Settings, models: Models, listening: socket) -> int | None:
    """Serves in this process, and lives on after the signal that ended it; that signal."""
    came: list[int] = []
    # The server raises its signal once more when it is done; there is something to do after that.
    signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    run(chosen, models, listening, None)
    return came[0] if came else None


def check_database(chosen: Settings) -> None:
    """Ends the process where the store cannot be used, or where nobody could ever enter."""
    try:
        database = Database(chosen.database)
        database.migrate()
        known = KeyRing(database).all()
        database.close()
    except DatabaseError as error:
        refuse(error.code, str(error))
    except SQLAlchemyError as error:
        refuse(DatabaseError.code, f"the database cannot be read ({databases.reason(error)})")
    if not is_loopback(chosen.host) and not can_enter(known):
        refuse(
            "keys_missing",
            f"{chosen.host} can be reached by other machines, and there is no valid API key; "
            "make one with `python -m service keys create NAME --scope classify`, or listen on 127.0.0.1",
        )


def past_models(chosen: Settings) -> list[str]:
    """The versions that have answered before, the latest first; none where the store cannot tell."""
    try:
        database = Database(chosen.database)
        try:
            return history.versions(database)
        finally:
            database.close()
    except (DatabaseError, SQLAlchemyError) as error:
        log.error("store_unavailable: the last good model is not known (%s)", databases.reason(error))
        return []


def run(chosen: Settings, models: Models, listening: socket, parent: int | None) -> None:
    """Serves in this process."""
    shared = os.environ.get(SHARED)
    app = create_app(models, chosen, Path(shared) if shared else None)
    serving = server.create_server(app, chosen, parent)
    if parent is not None:  # others answer already: this one takes requests only when it can, too
        app.state.context.models.warm_up()
    gc.freeze()  # what is here stays; to scan it again and again would stall large requests
    gc.enable()
    try:
        serving.run(sockets=[listening])
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@cli.command()
def worker(parent: Annotated[int | None, typer.Option(hidden=True)] = None) -> None:
    """Do the jobs of POST /v1/relabels until SIGTERM; `serve` starts one by itself."""
    telemetry.configure_logs()
    without_scipy()
    chosen = load_settings()
    # What the power takes of staged answers is done again, and each flush would keep requests waiting.
    doer = Worker(open_database(durable=False), chosen, parent)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: doer.stop())
    os.nice(NICENESS)
    doer.run()


@cli.command()
def export(
    target: Annotated[Path, typer.Argument(help="JSONL file to write, whole or not at all.")],
) -> None:
    """Write every reviewed report with its latest review, as training reads it."""
    database = open_database()
    beside = target.with_name(target.name + ".new")
    count = 0
    try:
        with open(beside, "wb", opener=_private) as file:
            for row in Desk(database).export():
                row["created_at"] = write_time(row["created_at"])
                file.write(orjson.dumps(row) + b"\n")
                count += 1
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    except OSError as error:
        refuse("target_unusable", f"{target}: {error.strerror}")
    finally:
        database.close()
    print(f"{count} reviewed reports in {target}", file=sys.stderr)


def _private(path: str, flags: int) -> int:
    """Opens a file that nobody else may read."""
    return os.open(path, flags, 0o600)


@cli.command()
def backup(
    target: Annotated[Path, typer.Argument(help="SQLite file to write, whole or not at all.")],
) -> None:
    """Copy the whole store into one file while the service goes on; works for PostgreSQL too."""
    database = open_database()
    try:
        counts = copies.backup(database, target)
    except (DatabaseError, SQLAlchemyError, OSError) as error:
        refuse("backup_failed", str(error) if isinstance(error, DatabaseError) else databases.reason(error))
    print(f"{counts['reports']} reports in {target}", file=sys.stderr)


@cli.command()
def restore(
    source: Annotated[Path, typer.Argument(help="File that `backup` wrote.")],
) -> None:
    """Fill the empty store that RUSE_DATABASE names from a backup; also from one kind to the other."""
    chosen = load_settings()
    try:
        counts = copies.restore(source, Database(chosen.database))
    except (DatabaseError, SQLAlchemyError) as error:
        refuse("restore_failed", str(error) if isinstance(error, DatabaseError) else databases.reason(error))
    print(f"{counts['reports']} reports restored", file=sys.stderr)


@keys_cli.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    scope: Annotated[list[str], typer.Option(help=f"What it may do: {', '.join(SCOPES)}; repeatable.")],
    days: Annotated[int | None, typer.Option(min=1, max=36_500, help="Days until it expires.")] = None,
) -> None:
    """Make a key and show it, this once."""
    if not is_name(name):
        refuse("name_invalid", "a name has up to 200 visible characters on one line")
    try:
        key, secret = KeyRing(open_database()).create(name, scope, days, actor())
    except ValueError as error:
        refuse("scope_unknown", str(error))
    print(f"key {key.id} for {name}: this is shown only now", file=sys.stderr)
    print(secret)


@keys_cli.command("list")
def list_keys() -> None:
    """Show all keys, without their secrets."""
    for key in KeyRing(open_database()).all().values():
        state = "valid" if key.is_valid() else "revoked" if key.revoked_at else "expired"
        until = write_time(key.expires_at) or "never expires"
        print(key.id, state, until, ",".join(sorted(key.scopes)), key.name, sep="\t")


@keys_cli.command("revoke")
def revoke_key(key: Annotated[str, typer.Argument(help="Id of the key, as `keys list` shows.")]) -> None:
    """Revoke a key; a running service refuses it within a few seconds."""
    if not KeyRing(open_database()).revoke(key, actor()):
        refuse("key_unknown", "there is no such key that is not revoked; see `keys list`")


if __name__ == "__main__":
    cli(prog_name="python -m service")
