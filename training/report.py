"""The report of a run: one JSON file and one HTML page with plots, no network, no text of an example."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from training import plots

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{border:1px solid #ccc;padding:.2rem .6rem;"
    "text-align:left}svg{max-width:100%;height:auto}.no{color:#b00}"
)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    cells = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{''.join(f'<th>{escape(name)}</th>' for name in head)}</tr>{cells}</table>"


def _span(found: Mapping[str, float] | None, sign: str = "") -> str:
    if not found:
        return "–"
    return f"{found['value']:{sign}.3f} [{found['low']:{sign}.3f}, {found['high']:{sign}.3f}]"


def page(known: Mapping[str, Any]) -> str:
    """HTML of what `retrain` writes to report.json."""
    contest, decision = known["contest"], known["decision"]
    verdict = "fit to be promoted" if decision["promoted"] else "not promoted"
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Retraining</title>',
        f"<style>{STYLE}</style><h1>{escape(str(contest['challenger']))}: {verdict}</h1>",
        f"<p>Against {escape(str(contest['champion'] or 'no other model'))}; {escape(known['made'])}.</p>",
        _table(
            ["check", "", "seen"],
            [[c["name"], "passed" if c["passed"] else "FAILED", c["seen"]] for c in decision["checks"]],
        ),
        "<h2>Data</h2>",
        _table(
            ["corpus", "licence", "origin", "rows", "bad rows", "sha256"],
            [[*(c[k] for k in ("name", "licence", "origin", "rows", "bad")), c["sha256"][:12]]
             for c in known["collected"]],
        ),
        _list(known["check"]),
        "<h2>Macro-F1, 95 % intervals, second category allowed</h2>",
    ]  # fmt: skip
    rows = [["all", contest["overall"]]]
    for kind in ("sets", "languages", "sources"):
        rows += [[f"{kind[:-1]} {name}", found] for name, found in contest[kind].items()]
    parts.append(
        _table(
            ["rows of", "rows", "challenger", "champion", "difference"],
            [
                [name, found["rows"], _span(found["challenger"]["macro_f1"]),
                 _span(found["champion"] and found["champion"]["macro_f1"]), _span(found["difference"], "+")]
                for name, found in rows
            ],
        )
    )  # fmt: skip
    categories = contest["overall"]["categories"]
    parts += ["<h2>F1 by category (blue: challenger, grey: champion)</h2>", plots.intervals(categories)]
    parts.append(
        _table(
            ["category", "rows", "challenger", "champion", "difference", "p that it is worse"],
            [
                [name, f["rows"], _span(f["f1"]), _span(f.get("champion")), _span(f.get("difference"), "+"),
                 f"{f['p_worse']:.4f}" if "p_worse" in f else "–"]
                for name, f in categories.items()
            ],
        )
    )  # fmt: skip
    if contest["confusion"]:
        parts += ["<h2>Most frequent errors</h2>", plots.flow(contest["confusion"])]
    if contest["calibration"]:
        parts.append("<h2>Calibration</h2>")
        parts += [plots.reliability(c["bins"], name) for name, c in contest["calibration"].items()]
        parts.append(
            _table(
                ["set", "calibration error", "a perfect model's median", "p"],
                [
                    [n, f"{c['error']:.3f}", f"{c['null_median']:.3f}", f"{c['p_value']:.3f}"]
                    for n, c in contest["calibration"].items()
                ],
            )
        )
    parts += ["<h2>The promise: right of what was answered</h2>", _promise(contest["promise"])]
    parts += ["<h2>Suites</h2>", *_suites(known["suites"])]
    near = [f"{who}: {n['right']} of {n['rows']}" for who, n in contest["near_domain"].items() if n["rows"]]
    parts.append(f"<p>Harmless cases told like frauds, called harmless: {', '.join(near) or 'none'}.</p>")
    parts.append("<h2>Speed and size</h2>")
    speed = contest["speed"]
    parts.append(
        _table(
            ["", "challenger", "champion"],
            [
                ["texts a second", *(f"{speed[k]:,.0f}" if speed[k] else "–" for k in speed)],
                [
                    "bytes",
                    f"{known['bytes']:,}",
                    f"{known['champion_bytes']:,}" if speed["champion"] else "–",
                ],
            ],
        )
    )
    return "\n".join(parts) + "</html>\n"


def _promise(found: Mapping[str, Mapping[str, Any]]) -> str:
    names = sorted({name for kept in found.values() for name in kept})
    cells = [
        [
            name,
            *(
                f"{k['right']} of {k['answered']}" if (k := kept.get(name)) else "–"
                for kept in found.values()
            ),
        ]
        for name in names
    ]
    return _table(["category", *found], cells)


def _suites(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One table a suite: rows are what was tried, columns who was asked."""
    parts = []
    for suite in next(iter(found.values()), {}):
        lines: dict[str, dict[str, Any]] = {}
        for who, suites in found.items():
            for name, value in suites[suite].items():
                lines.setdefault(name, {})[who] = value
        if lines:
            cells = [[name, *(_short(said.get(who)) for who in found)] for name, said in lines.items()]
            parts.append(_table([suite.replace("_", " "), *found], cells))
    return parts


def _short(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_short(part)}" for name, part in value.items())
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _list(found: Mapping[str, Any]) -> str:
    return _table(["", ""], [[name.replace("_", " "), _short(value)] for name, value in found.items()])
