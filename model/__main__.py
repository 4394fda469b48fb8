"""`python -m model classify | taxonomy`. A door: reads arguments, files and RUSE_MODELS.

argparse and lazy imports, since a command in a shell loop is mostly its start-up.
"""

import argparse
import csv
import io
import json
import math
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from model.errors import ModelError
from model.text import FAULTS, fault

if TYPE_CHECKING:
    from model.classifier import Classifier, Prediction

CHUNK = 512  # texts classified and written at a time
LANGUAGES = ("en", "zh-Hans", "zh-Hant")
COLUMNS = (
    "id", "category", "category_probability", "scheme", "scheme_probability", "scheme_sure",
    "needs_review", "review_reason", "model", "taxonomy", "line", "error",
)  # fmt: skip
LINE_FAULTS = FAULTS | {
    "not_json": 'the line is not a JSON object; write {"id": …, "text": "…"} or use --lines or --csv',
    "no_text": 'the object has no "text"; name the words of the report so',
    "not_decodable": "the line is not in the encoding named; see --encoding",
    "no_column": "the row ends before its text; mend the row",
    "bad_csv": "the row is not CSV, perhaps for an unclosed quote; mend the file from here on",
}


@dataclass(frozen=True)
class Row:
    """One input: its line (from 1), its id as given, and its text or the code of its fault."""

    line: int
    id: Any
    text: str
    error: str | None


def main(arguments: list[str] | None = None) -> int:
    """Run a command; 0 all well, 1 some lines were bad, 2 nothing could be done."""
    options = _parser().parse_args(arguments)
    if sys.stdout is None:
        return _refuse("unwritable: standard output is closed")
    try:
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except ModelError as error:
        return _refuse(f"{error.code}: {error}")
    except OSError as error:
        if error.filename is None:
            return _refuse(f"unwritable: the output cannot be written: {error.strerror}")
        return _refuse(f"unreadable: {error.filename}: {error.strerror}")


def _refuse(message: str) -> int:
    print(message, file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m model", description="Name the scheme behind a report.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    classify = commands.add_parser("classify", help="texts in, categories and schemes out")
    classify.set_defaults(run=_classify)
    classify.add_argument("text", nargs="?", help="the text itself; - for standard input")
    classify.add_argument("--file", metavar="PATH", help="read this file instead")
    shape = classify.add_mutually_exclusive_group()
    shape.add_argument("--lines", action="store_true", help="input is a text a line, not JSONL")
    shape.add_argument("--csv", action="store_true", help="input is CSV with a header")
    classify.add_argument("--text-column", default="text", metavar="NAME", help="with --csv")
    classify.add_argument("--id-column", default="id", metavar="NAME", help="with --csv")
    classify.add_argument("--encoding", default="utf-8", choices=("utf-8", "gb18030"))
    classify.add_argument("--explain", action="store_true", help="add the words that gave it away")
    classify.add_argument("--csv-out", action="store_true", help="write CSV instead of JSONL")
    classify.add_argument("--lang", default="en", choices=LANGUAGES, help="of names in the table")
    tree = commands.add_parser("taxonomy", help="the categories and their schemes")
    tree.set_defaults(run=_taxonomy)
    tree.add_argument("--lang", default="en", choices=LANGUAGES, help="of names in the tree")
    return parser


def _classify(options: argparse.Namespace) -> int:
    if options.text is not None and options.file is not None:
        return _refuse("usage: give a text (or -) or --file, not both")
    if options.text not in (None, "-"):
        code = fault(options.text)
        if code:
            return _refuse(f"{code}: {FAULTS[code]}")
        rows: Iterator[Row] = iter([Row(1, None, options.text, None)])
        return _write(rows, options)
    if options.file is not None:
        with open(options.file, "rb") as file:
            return _write(_read(file, options), options)
    if sys.stdin is None or (options.text is None and sys.stdin.isatty()):
        return _refuse('usage: give a text, --file PATH, or pipe JSONL in; see "classify --help"')
    return _write(_read(sys.stdin.buffer, options), options)


def _read(file: IO[bytes], options: argparse.Namespace) -> Iterator[Row]:
    # Bytes that cannot be decoded become lone surrogates, so that one bad line is one bad line.
    ends = None if options.csv else "\n"
    stream = io.TextIOWrapper(file, options.encoding, "surrogateescape", newline=ends)
    lines = (line.lstrip("\ufeff") if n == 0 else line for n, line in enumerate(stream))
    if options.csv:
        yield from _read_csv(lines, options)
        return
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\r\n")
        if not line.strip():
            continue
        if any("\udc80" <= c <= "\udcff" for c in line) and not line.isascii():
            yield Row(number, None, "", "not_decodable")
        elif options.lines:
            yield Row(number, None, line, fault(line))
        else:
            yield _read_object(number, line)


def _read_object(number: int, line: str) -> Row:
    try:
        found = json.loads(line, parse_constant=_no_constant, parse_float=_finite)
        json.dumps(found.get("id") if isinstance(found, dict) else None, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return Row(number, None, "", "not_json")
    if not isinstance(found, dict):
        return Row(number, None, "", "not_json")
    if "text" not in found:
        return Row(number, found.get("id"), "", "no_text")
    return Row(number, found.get("id"), found["text"], fault(found["text"]))


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("beyond what a number can hold")
    return number


def _read_csv(lines: Iterator[str], options: argparse.Namespace) -> Iterator[Row]:
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(lines, strict=True)
    try:
        header = next(reader, [])
    except csv.Error:
        yield Row(1, None, "", "bad_csv")
        return
    if options.text_column not in header:
        raise _NoColumn(
            f"the CSV has no column {options.text_column!r}; name the one with the text with --text-column"
        )
    text_at = header.index(options.text_column)
    id_at = header.index(options.id_column) if options.id_column in header else None
    while True:
        first = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield Row(first, None, "", "bad_csv")
            continue
        if not cells:
            continue
        name = cells[id_at] if id_at is not None and id_at < len(cells) else None
        if len(cells) <= text_at:
            yield Row(first, name, "", "no_column")
        elif any("\udc80" <= c <= "\udcff" for c in "".join(cells)):
            clean = name if name is not None and fault(name) is None else None
            yield Row(first, clean, "", "not_decodable")
        else:
            yield Row(first, name, cells[text_at], fault(cells[text_at]))


class _NoColumn(ModelError, ValueError):
    code = "no_column"


def _load() -> "Classifier":
    from model.classifier import load
    from model.lean import without_scipy

    without_scipy()
    return load(os.environ.get("RUSE_MODELS") or None)


def _write(rows: Iterator[Row], options: argparse.Namespace) -> int:
    classifier = _load()
    table = sys.stdout.isatty() and not options.csv_out
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    out = csv.writer(sys.stdout, lineterminator="\n") if options.csv_out else None
    if out:
        out.writerow([*COLUMNS, "evidence"] if options.explain else COLUMNS)
    bad = 0
    while chunk := list(islice(rows, CHUNK)):
        predictions = iter(classifier.classify([row.text for row in chunk if not row.error]))
        for row in chunk:
            known = {"id": row.id}
            if row.error:
                bad += 1
                known |= {"line": row.line, "error": row.error, "message": LINE_FAULTS[row.error]}
            else:
                prediction = next(predictions)
                known |= prediction.as_dict()
                if options.explain:
                    known |= _explained(classifier, row.text, prediction)
            if table:
                from model import terminal

                terminal.show(known, row.text, classifier.taxonomy, options.lang)
            elif out:
                _write_cells(out, known, options)
            else:
                print(json.dumps(known, ensure_ascii=False))
        sys.stdout.flush()
    if bad:
        print(f"{bad} of the lines had no usable text; see their error", file=sys.stderr)
    return 1 if bad else 0


def _write_cells(out: Any, known: dict[str, Any], options: argparse.Namespace) -> None:
    cells = ["" if known.get(name) is None else _cell(known[name]) for name in COLUMNS]
    if options.explain:
        cells.append(json.dumps(known.get("evidence", [])))
    out.writerow(cells)


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _explained(classifier: "Classifier", text: str, prediction: "Prediction") -> dict[str, Any]:
    explanation = classifier.explain(text, prediction.category)
    return {
        "evidence": [word._asdict() for word in explanation],
        "evidence_bias": explanation.bias,
    }


def _taxonomy(options: argparse.Namespace) -> int:
    from model import artifact
    from model.classifier import SHIPPED

    models = os.environ.get("RUSE_MODELS")
    home = artifact.locate(Path(models)) if models else SHIPPED
    tree = artifact.read_taxonomy(home)
    if sys.stdout.isatty():
        from model import terminal

        terminal.show_tree(tree, options.lang)
    else:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(encoding="utf-8", newline="\n")
        print(json.dumps(tree.as_dict(), ensure_ascii=False, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
