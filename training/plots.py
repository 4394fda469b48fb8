"""Plots as SVG, made here: reliability, confusion flow, intervals by category. Numbers in, text out."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

NEW, OLD, INK, PALE = "#1f6feb", "#999", "#222", "#ddd"


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'role="img" font-family="system-ui,sans-serif" font-size="12"><title>{escape(title)}</title>'
        f"{''.join(parts)}</svg>"
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
        f'stroke-width="{width:g}"/>'
    )


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{INK}">{escape(words)}</text>'


def _dot(x: float, y: float, radius: float, colour: str, title: str) -> str:
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{colour}">'
        f"<title>{escape(title)}</title></circle>"
    )


def reliability(bins: Sequence[Mapping[str, float]], name: str) -> str:
    """What was said against what was right; a dot's area is its rows, on the line all is well."""
    side, left = 240.0, 40.0
    most = max((b["rows"] for b in bins), default=1)

    def x(value: float) -> float:
        return left + value * side

    def y(value: float) -> float:
        return 10 + (1 - value) * side

    parts = [_line(x(0), y(0), x(1), y(1), OLD)]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts += [_line(x(tick), y(0), x(tick), y(1), PALE), _line(x(0), y(tick), x(1), y(tick), PALE)]
        parts += [
            _text(x(tick), y(0) + 15, f"{tick:g}", "middle"),
            _text(left - 5, y(tick) + 4, f"{tick:g}", "end"),
        ]
    parts += [
        _dot(x(b["said"]), y(b["right"]), 3 + 5 * (b["rows"] / most) ** 0.5, NEW,
             f"said {b['said']:.2f}, right {b['right']:.2f}, {b['rows']:g} rows")
        for b in bins
    ]  # fmt: skip
    parts.append(_text(left + side / 2, side + 42, f"said → right: {name}", "middle"))
    return _svg(left + side + 20, side + 55, f"Reliability of {name}", parts)


def intervals(categories: Mapping[str, Mapping[str, Any]]) -> str:
    """F1 with its 95 % interval, a line a category; the champion's in grey below."""
    left, side, step = 270.0, 420.0, 22.0
    parts = []
    for tick in (0, 0.25, 0.5, 0.75, 1):
        at = left + tick * side
        parts += [_line(at, 10, at, 20 + step * len(categories), PALE), _text(at, 9, f"{tick:g}", "middle")]
    for place, (name, found) in enumerate(categories.items()):
        y = 26 + place * step
        parts.append(_text(left - 8, y + 4, f"{name} ({found['rows']})", "end"))
        for shift, key, colour in ((5, "champion", OLD), (0, "f1", NEW)):
            if one := found.get(key):
                low, high, at = (left + side * one[k] for k in ("low", "high", "value"))
                words = f"{name}: {one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"
                parts += [
                    _line(low, y + shift, high, y + shift, colour, 2),
                    _dot(at, y + shift, 3.5, colour, words),
                ]
    return _svg(left + side + 20, 34 + step * len(categories), "F1 by category with intervals", parts)


def flow(confusion: Sequence[Sequence[Any]], most: int = 15) -> str:
    """The most frequent errors: true categories left, what was answered right, bands as wide as the rows."""
    pairs = [(true, given, int(n)) for (true, given), n in confusion[:most]]
    total = max(1, sum(n for *_, n in pairs))
    scale, gap, left, right = 360.0 / total, 14.0, 240.0, 520.0
    tops: list[dict[str, float]] = [{}, {}]
    ends = [20.0, 20.0]
    for side in (0, 1):
        for name in dict.fromkeys((true, given)[side] for true, given, _ in pairs):
            tops[side][name] = ends[side]
            ends[side] += max(2.0, scale * sum(p[2] for p in pairs if p[side] == name)) + gap
    parts = [_text(left - 8, 12, "true", "end"), _text(right + 8, 12, "answered")]
    for side, x, anchor in ((0, left - 8, "end"), (1, right + 8, "start")):
        for name, top in tops[side].items():
            n = sum(p[2] for p in pairs if p[side] == name)
            parts.append(_text(x, top + scale * n / 2 + 4, f"{name} ({n})", anchor))
    at = [dict(tops[0]), dict(tops[1])]
    for true, given, n in pairs:
        a, b, width = at[0][true] + scale * n / 2, at[1][given] + scale * n / 2, max(1.0, scale * n)
        parts.append(
            f'<path d="M{left:.1f} {a:.1f} C{left + 140:.1f} {a:.1f} {right - 140:.1f} {b:.1f} {right:.1f} '
            f'{b:.1f}" fill="none" stroke="{NEW}" stroke-opacity=".45" stroke-width="{width:.1f}">'
            f"<title>{escape(f'{true} → {given}: {n}')}</title></path>"
        )
        at[0][true] += scale * n
        at[1][given] += scale * n
    return _svg(left + 280 + 240, max(ends) + 10, "Most frequent errors", parts)
