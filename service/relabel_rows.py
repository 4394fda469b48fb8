"""`python -m service relabel` with the store or the table of a database as its source.

Nothing is changed: the answers wait beside until `python -m service relabels apply`.
"""

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy.exc import SQLAlchemyError

import model
from service import staging
from service.arrow import Columns
from service.commands import actor, refuse
from service.database import Database, DatabaseError, reason
from service.foreign import Foreign
from service.jobs import OPEN, Cancelled
from service.labels import STORE, RelabelError
from service.lock import Lock
from service.manifest import FOLDER
from service.progress import Meter, clock
from service.relabel import Progress
from service.relabel_command import say
from service.relabel_commands import write_report
from service.settings import Settings
from service.staged import Staged
from service.staging import Source

WAIT = 0.5  # seconds between looks at a job that a worker does

Told = Callable[[int, int, int], None]


def command(
    source: str,
    table: str | None,
    columns: Columns,
    target: str | None,
    models: Path,
    sample: int,
    restart: bool,
    interval: float,
    chosen: Settings,
) -> None:
    """Relabels the store or a table and says so; with a `sample` only looks what would change.

    Ends the process where the database cannot be used. Raises RelabelError, ModelError.
    """
    try:
        opened = open_source(source, table, columns, chosen)
        if sample:
            report = dry_run(opened, models, sample)
            print(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode())
            say(report, f"about {report['rows_expected']:,} rows, {clock(report['seconds_expected'])}")
            return
        first: list[int] = []

        def tell(done: int, total: int, errors: int) -> None:
            first.append(done) if not first else None
            meter.show(Progress(total, done, done - first[0], skipped=first[0], errors=errors))

        with Meter(interval) as meter:  # a bar takes what is printed; the id of the job is for a pipe
            job = run(opened, models, actor(), restart, tell)
    except DatabaseError as error:
        refuse(error.code, str(error))
    except SQLAlchemyError as error:
        refuse(DatabaseError.code, f"the database cannot be used ({reason(error)}); run the same again")
    if job["state"] != "waiting_for_approval":
        refuse(job["problem"] or "relabel_state", f"job {job['id']} is {job['state'].replace('_', ' ')}")
    if target is not None:
        write_report(Path(target, FOLDER), job["diff"])
    where = f" --database {opened.database.where}" if source != STORE else ""
    say(job["diff"], f"nothing is changed yet: python -m service relabels apply {job['id']}{where}")
    print(job["id"])


def open_source(source: str, table: str | None, columns: Columns, chosen: Settings) -> Source:
    """The store or a table. Raises RelabelError, DatabaseError."""
    if source == STORE:
        if table is not None:
            raise RelabelError("table_needless", "the store has one table of reports; leave --table out")
        database = Database(chosen.database)
        database.migrate()
        return Staged(database, chosen.audit_share)
    if table is None:
        raise RelabelError("table_missing", "name the table of the database with --table")
    foreign = Foreign(Database(source), table, columns)
    foreign.check()
    return foreign


def dry_run(source: Source, models: Path, sample: int) -> dict[str, Any]:
    """What a sample would change, and how long all would take."""
    classifier = model.load(models)
    classifier.classify(["The parcel is at the station."])  # what is compiled now is not measured
    return staging.preview(source, classifier, sample)


def run(source: Source, models: Path | None, owner: str, restart: bool, tell: Told) -> dict[str, Any]:
    """Does a job to its end, or goes on with one that was left behind; the job.

    `restart` cancels one that is open and begins anew. Raises RelabelError, DatabaseError,
    SQLAlchemyError, ModelError.
    """
    name = source.name if isinstance(source, Foreign) else STORE
    source.prepare()
    lock = Lock(source.database)
    if not lock.take() and name != STORE:
        where = source.database.where
        raise RelabelError("locked", f"{where}: another process works on a job here; wait for it")
    try:
        options = asdict(source.columns) if isinstance(source, Foreign) else {}
        job = _open_job(source, name, options, owner, restart)
        classifier = model.load(models)
        row = source.jobs.get(job)
        if row["model"] not in (None, classifier.manifest.version):
            raise RelabelError(
                "model_changed", f"job {job} on {name} was begun with model {row['model']}, and now it is "
                f"{classifier.manifest.version}; use that one, or --restart to begin anew",
            )  # fmt: skip
        while True:
            row = source.jobs.get(job)
            if row["state"] not in ("queued", "running"):
                break
            if lock.take():  # else a worker does it, and this looks on
                staging.run(source, job, classifier, lambda: True, tell)
            else:
                tell(row["done"], row["total"] or 0, row["errors"])
                time.sleep(WAIT)
    except Cancelled:
        row = source.jobs.get(job)
    finally:
        lock.release()
    return row


def _open_job(source: Source, name: str, options: dict[str, Any], owner: str, restart: bool) -> str:
    """The job of this source that is open, or a new one."""
    rows, _ = source.jobs.page(1_000)
    for row in rows:
        if row["source"] != name or row["state"] not in OPEN:
            continue
        if restart:
            source.cancel(row["id"], owner)
            source.tidy(row)
        elif row["options"] != options:
            raise RelabelError(
                "job_differs", f"job {row['id']} on {name} was begun with other options and is "
                f"{row['state'].replace('_', ' ')}; give the same, or --restart to begin anew",
            )  # fmt: skip
        else:
            return str(row["id"])
    return str(source.jobs.create(name, None, options, owner)[0]["id"])
