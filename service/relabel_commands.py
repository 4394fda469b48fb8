"""`python -m service relabels`: what a person decides about jobs, and by what.

Without --database it is about the service's own store; with it about the tables of another database.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from sqlalchemy import inspect
from sqlalchemy.exc import SQLAlchemyError

from service import diff_page, foreign
from service.arrow import Columns
from service.commands import actor, load_settings, open_database, refuse
from service.database import Database, DatabaseError, reason
from service.folder import Files, PathRefused, TargetMissing, TargetTaken
from service.foreign import Foreign
from service.forms import write_time
from service.jobs import Jobs, UnknownJob, WrongState
from service.labels import STORE, RelabelError
from service.problems import KINDS
from service.staged import Staged
from service.staging import NotNewest, Source

relabels_cli = typer.Typer(no_args_is_help=True, help="List, show, apply, revert and cancel relabellings.")

Url = Annotated[str | None, typer.Option("--database", help="URL of the database that has the table.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="As `relabels list` shows it.")]
_REFUSALS: dict[type[Exception], str] = {
    UnknownJob: "relabel_unknown",
    NotNewest: "relabel_not_newest",
    PathRefused: "path_refused",
    TargetTaken: "target_taken",
    TargetMissing: "target_missing",
}
ENDED = ("reverted", "cancelled", "failed")  # states in which nobody needs the answers


@relabels_cli.command("list")
def list_jobs(database: Url = None) -> None:
    """Show all jobs, newest first."""
    jobs, before = _jobs(database), None
    while True:
        rows, before = jobs.page(100, before)
        for row in rows:
            rows_done = f"{row['done']}/{row['total'] if row['total'] is not None else '?'}"
            print(row["id"], row["state"], write_time(row["created_at"]), rows_done, row["source"], sep="\t")
        if before is None:
            return


@relabels_cli.command("show")
def show(
    job: Id,
    database: Url = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder in which to write report.html and report.json.")
    ] = None,
) -> None:
    """Show one job as JSON, with what it would change."""
    try:
        row = _jobs(database).get(job)
    except UnknownJob:
        refuse("relabel_unknown", _detail("relabel_unknown"))
    if report is not None and row["diff"] is not None:
        write_report(report, row["diff"])
    times = {name: write_time(row[name]) for name in row if name.endswith("_at")}
    hidden = ("idempotency_key", "body_hash", "leftovers")
    # Names of columns are no plain str.
    shown = {str(name): value for name, value in (row | times).items() if name not in hidden}
    print(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())


@relabels_cli.command("apply")
def apply(job: Id, database: Url = None) -> None:
    """Make the answers of a job that waits for approval the current ones, all at once."""
    _decide(job, database, lambda source: source.apply)


@relabels_cli.command("revert")
def revert(job: Id, database: Url = None) -> None:
    """Make current again what was so before the job was applied; the one applied last comes first."""
    _decide(job, database, lambda source: source.revert)


@relabels_cli.command("cancel")
def cancel(job: Id, database: Url = None) -> None:
    """End a job that was not applied; one that runs stops within a page."""
    _decide(job, database, lambda source: source.cancel)


def write_report(folder: Path, diff: dict[str, Any]) -> None:
    """Writes report.html and report.json into a folder; ends the process where it cannot."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_bytes(orjson.dumps(diff, option=orjson.OPT_INDENT_2))
        (folder / "report.html").write_text(diff_page.page(diff), "utf-8")
    except OSError as error:
        refuse("target_unusable", f"{folder}: {error.strerror}")


def _decide(job: str, url: str | None, choose: Callable[[Any], Callable[..., dict[str, Any]]]) -> None:
    try:
        jobs = _jobs(url)
        source = _source(jobs, jobs.get(job), url)
        row = choose(source)(job, actor())
        # A worker may still be writing files; it will tidy up itself.
        ended = row["state"] in ENDED and (row["finished_at"] or not isinstance(source, Files))
        if row["leftovers"] and (ended or isinstance(source, Staged)):
            source.tidy(row)
    except WrongState as error:
        refuse("relabel_state", f"the job is {error.state.replace('_', ' ')}, from which this cannot follow")
    except tuple(_REFUSALS) as error:
        refuse(_REFUSALS[type(error)], _detail(_REFUSALS[type(error)]))
    except RelabelError as error:
        refuse(error.code, str(error))
    except (SQLAlchemyError, DatabaseError) as error:
        refuse(DatabaseError.code, f"the database cannot be used ({reason(error)})")
    print(f"{job} is {row['state']}", file=sys.stderr)


def _detail(code: str) -> str:
    kind = KINDS[code]
    return f"{kind.title[0].lower()}{kind.title[1:]}; {kind.detail[0].lower()}{kind.detail[1:]}"


def _jobs(url: str | None) -> Jobs:
    if url is None:
        return Jobs(open_database())
    try:
        database = Database(url)
        if database.path and not database.path.exists():
            raise DatabaseError(f"{database.where}: there is no such file")
        jobs, _ = foreign.beside(database)
        there = inspect(database.engine).has_table(jobs.table.name)
    except DatabaseError as error:
        refuse(error.code, str(error))
    except SQLAlchemyError as error:
        refuse(DatabaseError.code, f"the database cannot be used ({reason(error)})")
    if not there:
        refuse("relabel_unknown", f"{database.where}: no table in it was ever relabelled")
    return jobs


def _source(jobs: Jobs, row: dict[str, Any], url: str | None) -> Source | Files:
    if url is not None:
        return Foreign(jobs.database, row["source"], Columns(**row["options"]))
    if row["source"] == STORE:
        return Staged(jobs.database)
    folder = load_settings().relabel_folder
    if folder is None:
        refuse("relabel_folder_unset", _detail("relabel_folder_unset"))
    return Files(jobs.database, folder)
