"""`python -m service relabel`: arguments of a job, and what is said when it ends.

What takes long to import is imported when the arguments are known: by then the server of the worker
processes reads it, too. What reads and writes databases is imported only where the source is one.
"""

import logging
import os
import signal
import sys
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service import processes
from service.commands import load_settings, refuse
from service.labels import STORE, RelabelError

if TYPE_CHECKING:
    from service.files import Options

log = logging.getLogger("ruse.relabel")

STOPPED = 130  # exit code: Ctrl-C


class Encoding(StrEnum):
    """How CSV and TSV are encoded."""

    auto = "auto"
    utf8 = "utf-8"
    gb18030 = "gb18030"


class Level(StrEnum):
    """What old labels are compared with."""

    category = "category"
    scheme = "scheme"


def relabel(
    source: Annotated[
        str,
        typer.Argument(
            help="File or folder: Parquet, CSV, TSV, JSONL (also .gz, .zst), .xlsx; or `store`, or the URL "
            "of a database (sqlite:///FILE, postgresql://USER:PASSWORD@HOST/NAME)."
        ),
    ],
    target: Annotated[
        str | None,
        typer.Argument(help="Folder for the parts and the report; of a database only the report."),
    ] = None,
    table: Annotated[str | None, typer.Option(help="Table of the database; SCHEMA.TABLE too.")] = None,
    text_column: Annotated[str, typer.Option(help="Column with the text.")] = "text",
    id_column: Annotated[
        str | None, typer.Option(help="Column that names rows in the report; else file:row does.")
    ] = None,
    label_column: Annotated[str | None, typer.Option(help="Column with the old label, for the diff.")] = None,
    label_level: Annotated[Level, typer.Option(help="What old labels are compared with.")] = Level.category,
    crosswalk: Annotated[
        str | None, typer.Option(help="Crosswalk of the taxonomy, where the old labels are foreign.")
    ] = None,
    prefix: Annotated[str, typer.Option(help="What the names of the new columns begin with.")] = "",
    encoding: Annotated[
        Encoding, typer.Option(help="Of CSV and TSV; auto tells by the bytes.")
    ] = Encoding.auto,
    delimiter: Annotated[
        str | None, typer.Option(help="What parts the cells of CSV; a comma unless given.")
    ] = None,
    sheet: Annotated[str | None, typer.Option(help="Sheet of an .xlsx; else the first.")] = None,
    chunk: Annotated[int, typer.Option(min=1, max=10_000_000, help="Rows of a part, about.")] = 65_536,
    workers: Annotated[
        int | None, typer.Option(min=1, max=1_024, help="Worker processes; else one a core.")
    ] = None,
    with_text: Annotated[
        bool, typer.Option("--with-text", help="Show the texts of the listed changes in the report.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew; parts that are there are removed.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change and how long it would take.")
    ] = False,
    sample: Annotated[int, typer.Option(min=1, help="Rows that --dry-run looks at.")] = 10_000,
    interval: Annotated[
        float, typer.Option(min=0, help="Seconds between lines of the log, away from a terminal.")
    ] = 30,
    engine_: Annotated[
        str, typer.Option("--engine", metavar="local|spark[=MASTER]", help="Where it runs.")
    ] = "local",
) -> None:
    """Classify old reports again, and report what that changes. The same command resumes."""
    chosen = load_settings()
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n' or not delimiter.isascii()):
        refuse(
            "delimiter_invalid", "a delimiter is one ASCII character, and neither a quote nor an end of line"
        )
    if dry_run and engine_ != "local":
        refuse("engine_unusable", "a --dry-run looks at a sample on this machine; leave --engine out")
    rows = is_rows(source)
    if target is None and not dry_run and not rows:
        refuse("target_missing", "name a folder for the parts, or ask for a --dry-run")
    if not (rows or dry_run) and engine_ == "local":
        with suppress(RelabelError):  # which is said when they are needed
            processes.begin()

    import orjson

    from model import ModelError, artifact
    from model.classifier import SHIPPED
    from service import relabel as engine
    from service import telemetry
    from service.arrow import Columns
    from service.files import Options
    from service.manifest import FOLDER
    from service.progress import Meter, clock

    if not sys.stderr.isatty():
        telemetry.configure_logs()
    columns = Columns(
        text_column, id_column, label_column, label_level.value, crosswalk, prefix, chosen.text_limit
    )
    options = Options(columns, chunk, encoding.value, delimiter, sheet, with_text)
    try:
        models = artifact.locate(chosen.models) if chosen.models else SHIPPED
        if rows:
            from service import relabel_rows

            relabel_rows.command(
                source, table, columns, target, models, sample if dry_run else 0, restart, interval, chosen
            )
            return
        if engine_ != "local":
            report = _on_spark(engine_, source, target or "", models, options, restart)
        else:
            count = workers or len(os.sched_getaffinity(0))
            job = engine.Job(Path(source), Path(target or ""), models.resolve(), options, count, restart)
            if dry_run:
                report = engine.preview(job, sample)
                print(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode())
                seconds = clock(report["seconds_expected"])
                say(report, f"about {report['rows_expected']:,} rows, {seconds} with {count} workers")
                return
            with Meter(interval) as meter:
                report = engine.run(job, meter.show)
    except (RelabelError, ModelError) as error:
        refuse(error.code, str(error))
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it was", file=sys.stderr)
        raise typer.Exit(STOPPED) from None
    finally:
        processes.end()
    say(report, f"report: {target}/{FOLDER}/report.html")
    if report["bad_files"]:
        raise typer.Exit(1)


def by_itself(words: list[str]) -> None:
    """Runs the command without the others of `python -m service`, and ends the process."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: it tidies up
    cli = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    cli.command()(relabel)
    cli(words, prog_name="python -m service relabel")


def is_rows(source: str) -> bool:
    """Whether a source is the store or a database, and no file."""
    return source == STORE or source.startswith(("sqlite:", "postgresql:", "postgresql+psycopg:"))


def say(report: dict[str, Any], last: str) -> None:
    """Tells a person on standard error what came of a job."""
    bad_rows = sum(report["errors"].values())
    line = f"{report['rows']:,} rows, {report['needs_review']:,} for review, {bad_rows:,} bad"
    if report["compared"]:
        line += f"; {report['changed']:,} of {report['compared']:,} changed ({report['changed_share']:.1%})"
    print(line, file=sys.stderr)
    for name, why in report.get("bad_files", {}).items():
        print(f"file_bad: {name}: {why}; it was left out", file=sys.stderr)
    print(last, file=sys.stderr)


def _on_spark(
    name: str, source: str, target: str, models: Path, options: "Options", restart: bool
) -> dict[str, Any]:
    kind, _, master = name.partition("=")
    if kind != "spark":
        raise RelabelError("engine_unknown", "an engine is local, spark or spark=MASTER")
    from service import spark

    return spark.run(source, target, models.resolve(), options, restart, master or None)
