"""Writes docs/proofs.md from what `make prove-service` recorded: `python -m docs.proofs`."""

import json
import sys
from pathlib import Path
from typing import Any

RECORD = Path(__file__).parent.parent / "benchmarks" / "prove_service.json"
PAGE = Path(__file__).with_name("proofs.md")

HEAD = """\
# What was proven of the service

<!-- Made by `python -m docs.proofs` from benchmarks/prove_service.json; run `make prove-service`. -->

`{command}`, {machine}. Each proof runs a real service as a process of its own; the tests run
a short form of the same code. Promises broken: {broken_promises}.

| proof | day | result |
|---|---|---|
"""

ROWS = {
    "contract": "schemathesis on the whole OpenAPI description, all checks and phases, stories too, "
    "{examples} examples for a route | {cases:,} cases at {operations} routes in {seconds} s; "
    "runs that failed: {failed}",
    "crowd": "{writers} writers at once on SQLite, two workers | {acknowledged:,} reports acknowledged, "
    "{stored:,} stored, {lost} lost, {doubled} twice; {reports_per_second} a second, median {median_ms} ms, "
    "99 % {p99_ms} ms; answers by status: {said}",
    "kills": "`kill -9` of everything amidst writes, {kills} times | {acknowledged:,} reports acknowledged, "
    "{lost} lost, {doubled} twice; {erased:,} erased, of which {not_erased} still stored, {in_files} found "
    "in the bytes of the files, {returned} stored again when sent again; damaged files: {damaged}",
    "load": "mixed load for {seconds:,} s, two workers, {kills} of them killed, {promotions} promotions "
    "| {requests:,} answers, {server_errors} of them 5xx; {acknowledged:,} reports acknowledged, {lost} "
    "lost, {doubled} twice; {erased:,} erased, of which {not_erased} still stored, {in_files} found in the "
    "bytes of the files, {returned} stored again; memory {memory_mb[1]} MB in the second fifth, "
    "{memory_mb[4]} MB in the last ({memory_growth:+.0%}); median {median_ms} ms, 99 % {p99_ms} ms",
}


def page(record: dict[str, Any]) -> str:
    """The whole page."""
    rows = ""
    for name, row in ROWS.items():
        found = record[name]
        said = ", ".join(f"{status} × {n:,}" for status, n in found.get("statuses", {}).items())
        what, result = row.format(**found, said=said).split(" | ")
        rows += f"| {what} | {found['date']} | {result} |\n"
    return HEAD.format(**record) + rows


if __name__ == "__main__":
    sys.exit(PAGE.write_text(page(json.loads(RECORD.read_text("utf-8"))), "utf-8") and 0)
