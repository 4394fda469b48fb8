"""Writes the table of docs/performance.md from what `make bench` recorded: `python -m docs.performance`."""

import json
import sys
from pathlib import Path
from typing import Any

RECORD = Path(__file__).parent.parent / "benchmarks" / "bench.json"
PAGE = Path(__file__).with_name("performance.md")
BEGIN, END = "<!-- made by `python -m docs.performance` -->\n", "<!-- end -->\n"


def table(record: dict[str, Any]) -> str:
    """The table, with what was run and where."""
    reached = sum(row["reached"] for row in record["rows"].values())
    lines = [
        f"`{record['command']}`, {record['machine']}. {reached} of {len(record['rows'])} rows reach "
        "their aim. A load average of more than 0 before a row was measured means that others used the "
        "machine.\n\n",
        "| path | against | ours | theirs | ratio | aim | | measured, load before |\n",
        "|---|---|---|---|---|---|---|---|\n",
    ]
    for row in record["rows"].values():
        aim = " and ".join(f"at {way} {bound:g}" for way, bound in row["aim"].items())
        if "skipped" in row:
            figures = f" | | {row['skipped']}"
        else:
            figures = f"{_number(row['ours'], row['unit'])} | {_number(row['theirs'], row['unit'])} "
            figures += f"| {row['ratio']:g}"
        verdict = "reached" if row["reached"] else "not reached"
        when = f"{row['date']}, {row['load_before']}" if "date" in row else ""
        lines.append(f"| {row['path']} | {row['against']} | {figures} | {aim} | {verdict} | {when} |\n")
    return "".join(lines)


def _number(figure: float, unit: str) -> str:
    return f"{figure:,} {unit}"


def page(text: str, record: dict[str, Any]) -> str:
    """The page, with the table of this record in the place of the one it has."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + table(record) + END + after


def main() -> int:
    """Renews the page."""
    record = json.loads(RECORD.read_text("utf-8"))
    PAGE.write_text(page(PAGE.read_text("utf-8"), record), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
