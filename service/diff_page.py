"""The diff as one HTML page that needs nothing else: tables, and the flow as an SVG picture."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

N_BANDS = 20  # names on either side of the picture; the others are one
N_PAIRS = 200  # rows of the table of the flow
WIDTH, BAR, LABEL, LINE = 920, 14, 250, 15  # of the picture, pixels
GAP, FLOW_HEIGHT = 6, 520
COLOURS = ("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2", "#b07aa1", "#9c755f", "#edc948")
SAME = "#c9ced6"  # of what keeps its name
REST = "(others)"

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1b1f24 }
table { border-collapse: collapse; margin: .5rem 0 2rem; width: 100% }
th, td { text-align: left; padding: .2rem .6rem; border-bottom: 1px solid #e3e6ea; vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
svg { width: 100%; height: auto }
svg text { font: 12px system-ui, sans-serif; fill: #1b1f24 }
"""  # noqa: E501


def page(report: Mapping[str, Any]) -> str:
    """The page of a report of `Diff.report`; what it quotes is escaped."""
    changed = f"{report['changed']:,} of {report['compared']:,} rows with an old label changed"
    if report["compared"]:
        changed += f" ({report['changed_share']:.1%})"
    level = escape(report["level"])
    return "".join(
        [
            "<!doctype html>\n<html lang=en><meta charset=utf-8>\n"
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
            f"<title>Relabelling: {escape(changed)}</title>\n<style>{STYLE}</style>\n"
            f"<h1>{escape(changed)}</h1>\n",
            _facts(report),
            f"<h2>From old to new {level}</h2>\n",
            picture(report["flow"]),
            _table(
                ("old", "new", "rows", "of all compared"),
                (
                    (f["old"], f["new"], f["rows"], _percent(f["rows"] / report["compared"]))
                    for f in report["flow"][:N_PAIRS]
                ),
            ),
            f"<h2>Share of each {level}</h2>\n",
            _table(
                ("name", "rows before", "rows after", "share before", "share after", "change"),
                (
                    (
                        s["name"],
                        s["old_rows"],
                        s["new_rows"],
                        _percent(s["old_share"]),
                        _percent(s["new_share"]),
                        _points(s["change"]),
                    )
                    for s in report["shares"]
                ),
            ),
            _changes("The most certain changes", report["surest_changes"]),
            _changes("The least certain changes", report["least_sure_changes"]),
            _counts("Errors", "error", report["errors"]),
            _counts("Why a person should look", "reason", report["review_reasons"]),
            _counts(
                "Old labels that the crosswalk leads nowhere", "label", report["labels_that_lead_nowhere"]
            ),
            "</html>\n",
        ]
    )


def _facts(report: Mapping[str, Any]) -> str:
    plain = {k: v for k, v in report.items() if isinstance(v, str | int | float) and k != "changed_share"}
    return _table(("", ""), ((name.replace("_", " "), value) for name, value in plain.items()))


def _changes(title: str, listed: Sequence[Mapping[str, Any]]) -> str:
    if not listed:
        return ""
    keys = ("id", "old", "category", "scheme", "probability", *(["text"] if "text" in listed[0] else []))
    rows = (
        (row["id"], *(row[k] for k in keys[1:4]), f"{row['probability']:.3f}", *_text(row)) for row in listed
    )
    return f"<h2>{title}</h2>\n" + _table(keys, rows)


def _text(row: Mapping[str, Any]) -> list[str]:
    return [row["text"]] if "text" in row else []


def _counts(title: str, name: str, counts: Mapping[str, int]) -> str:
    return f"<h2>{title}</h2>\n" + _table((name, "rows"), counts.items()) if counts else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in rows)
    top = "".join(f"<th>{escape(name)}" for name in head)
    return f"<table><thead><tr>{top}</tr></thead><tbody>\n{body}</tbody></table>\n"


def _cell(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"<td class=n>{value:,}</td>"
    return f"<td>{escape('' if value is None else str(value))}</td>"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"


def _points(change: float | None) -> str:
    return "" if change is None else f"{100 * change:+.2f} points"


def picture(flow: Sequence[Mapping[str, Any]]) -> str:
    """The flow of `Diff.report` as an SVG: old names left, new ones right, a band for each pair.

    Heights are rows. A name that is kept is grey, so that colour is change.
    """
    if not flow:
        return "<p>There are no rows with an old label to compare with.</p>\n"
    left, right = _largest(flow, "old"), _largest(flow, "new")
    pairs: Counter[tuple[str, str]] = Counter()
    for row in flow:
        old, new = row["old"], row["new"]
        pairs[old if old in left else REST, new if new in right else REST] += row["rows"]
    scale = FLOW_HEIGHT / pairs.total()
    before, after = Counter[str](), Counter[str]()
    for (old, new), rows in pairs.items():
        before[old] += rows
        after[new] += rows
    old_at, new_at = _stack(before, before + after, scale), _stack(after, before + after, scale)
    height = max(top + tall for at in (old_at, new_at) for top, tall, _ in at.values()) + GAP
    x0, x1 = LABEL + BAR, WIDTH - LABEL - BAR
    colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(old_at)}
    drawn = []
    for (old, new), rows in sorted(pairs.items(), key=lambda pair: (list(old_at).index(pair[0][0]), pair[0])):
        thick = rows * scale
        y0, y1 = old_at[old][2], new_at[new][2]
        old_at[old][2] += thick
        new_at[new][2] += thick
        fill = SAME if old == new else colour[old]
        middle = (x0 + x1) / 2
        drawn.append(
            f'<path fill="{fill}" fill-opacity="0.6" d="M{x0} {y0:.1f}C{middle} {y0:.1f} {middle} {y1:.1f} '
            f"{x1} {y1:.1f}V{y1 + thick:.1f}C{middle} {y1 + thick:.1f} {middle} {y0 + thick:.1f} "
            f'{x0} {y0 + thick:.1f}Z"><title>{escape(old)} → {escape(new)}: {rows:,}</title></path>\n'
        )
    for at, x, text_x, anchor in ((old_at, LABEL, LABEL - 6, "end"), (new_at, x1, x1 + BAR + 6, "start")):
        for name, (top, tall, end) in at.items():
            fill = colour.get(name, "#5b6470") if at is old_at else "#5b6470"
            rows = round((end - top) / scale)
            drawn.append(
                f'<rect x="{x}" y="{top:.1f}" width="{BAR}" height="{max(end - top, 1):.1f}" fill="{fill}"/>'
                f'<text x="{text_x}" y="{top + min(tall, end - top + LINE) / 2 + 4:.1f}" '
                f'text-anchor="{anchor}">{escape(_short(name))} {rows:,}</text>\n'
            )
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="Rows by old and new name">\n'
        f"{''.join(drawn)}</svg>\n"
    )


def _largest(flow: Sequence[Mapping[str, Any]], side: str) -> set[str]:
    total: Counter[str] = Counter()
    for row in flow:
        total[row[side]] += row["rows"]
    return {name for name, _ in total.most_common(N_BANDS)}


def _stack(rows: Mapping[str, int], both: Mapping[str, int], scale: float) -> dict[str, list[float]]:
    """For each name, the largest of both sides first, where its bar begins, its room, and where its
    next band goes."""
    at, top = {}, float(GAP)
    for name in sorted(rows, key=lambda name: (name == REST, -both[name], name)):
        tall = max(rows[name] * scale, LINE)
        at[name] = [top, tall, top]
        top += tall + GAP
    return at


def _short(name: str) -> str:
    return name if len(name) <= 30 else name[:29] + "…"
