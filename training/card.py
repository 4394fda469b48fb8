"""The model card and what `evaluate` and `compare` print: figures, never a text."""

import platform
from datetime import date
from pathlib import Path
from typing import Any

from model.classifier import Classifier
from training import modelcard
from training.evaluate import Interval

CARD = Path(__file__).resolve().parent.parent / "docs" / "model-card.md"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _pools(report: dict[str, Any]) -> dict[str, Any]:
    """Each set, each language, and all of them."""
    return {**report["sets"], **report["languages"], **report["together"]}


def figures(report: dict[str, Any]) -> str:
    """The measured sets as Markdown."""
    rows = []
    for name, found in _pools(report).items():
        rows.append([
            f"`{name}`" if name in report["sets"] else f"**{name}**", str(found["rows"]),
            str(found["macro_f1_second"]), str(found["macro_f1_strict"]),
            str(found["accuracy_second"]), str(found["accuracy_strict"]),
            f"{found['coverage']:.2f}", f"{found['right_where_answered']:.3f}",
        ])  # fmt: skip
    head = ["set", "rows", "macro-F1, second allowed", "macro-F1, strict", "accuracy, second allowed",
            "accuracy, strict", "answered", "right where answered"]  # fmt: skip
    parts = [_table(head, rows)]
    languages = list(report["languages"])
    names = sorted({n for found in report["languages"].values() for n in found["f1_second"]})
    cells = []
    for name in names:
        row = [f"`{name}`"]
        for language in languages:
            second = report["languages"][language]["f1_second"].get(name)
            strict = report["languages"][language]["f1_strict"].get(name)
            row.append(f"{_short(second[1])} / {strict[1].value:.2f} ({second[0]})" if second else "")
        cells.append(row)
    parts.append(
        "F1 by category, second allowed / strict (rows):\n\n" + _table(["category", *languages], cells)
    )
    parts.append(
        "Calibration: expected calibration error, 15 equal-mass bins (second allowed), beside the median of "
        "a perfect model's, and the share of perfect models with a larger one:\n\n"
        + _table(
            ["set", "error", "perfect model's median", "p"],
            [
                [f"`{n}`", f"{c.error:.3f}", f"{c.null_median:.3f}", f"{c.p_value:.3f}"]
                for n, found in _pools(report).items()
                for c in [found["calibration"]]
            ],
        )
    )
    core = [[f"`{name}`", str(n), f"{value:.3f}"] for name, (n, value) in report["core"].items()]
    parts.append(
        "Core categories, all sets pooled, second allowed:\n\n" + _table(["category", "rows", "F1"], core)
    )
    parts += [
        f"Worst confusions of `{name}` (true → answered): " + "; ".join(found["confusions"])
        for name, found in report["sets"].items()
    ]
    return "\n\n".join(parts + _suites(report)) + "\n"


def _suites(report: dict[str, Any]) -> list[str]:
    languages = list(report["languages"])
    parts = []
    if report["evasion"]:
        rows = [
            [name, *(f"{found.get(language, 0.0):.3f}" for language in languages)]
            for name, found in report["evasion"].items()
        ]
        head = ["evasion: fall of macro-F1, second allowed", *languages]
        parts.append(_table(head, rows))
    if report["false_alarms"]:
        rows = [
            [f"`{name}`", str(n["rows"]), f"{n['called_fraud']:.3f}", f"{n['answered_fraud']:.3f}"]
            for name, n in report["false_alarms"].items()
        ]
        head = ["harmless messages", "rows", "called a fraud", "the same without review"]
        parts.append(_table(head, rows))
    if report["deletions"]:
        rows = [
            [language, how, f"{n[f'fall_{how}']:.3f}", f"{n[f'changed_{how}']:.3f}"]
            for language, n in report["deletions"].items()
            for how in ("strongest", "random")
        ]
        head = ["evidence: five words taken out", "which", "fall of probability", "another category"]
        parts.append(_table(head, rows))
    rows = [
        [name, str(n["rows"]), f"{n['right_reason']:.3f}", f"{n['safe']:.3f}"]
        for name, n in report["strangers"].items()
    ]
    parts.append(_table(["cannot be read", "texts", "right reason", "sent to review"], rows))
    return parts


def comparison(result: dict[str, Any]) -> str:
    """What `compare` found, as Markdown."""
    sets = list(next(iter(result["methods"].values())))
    rows = [
        [
            method,
            *(f"{found[name]['macro_f1']:.3f} / {found[name]['accuracy']:.3f}" for name in sets),
        ]
        for method, found in result["methods"].items()
    ]
    table = _table(["macro-F1 / accuracy, second allowed", *(f"`{name}`" for name in sets)], rows)
    ours = result["methods"]["Ruse"]
    behind = [
        f"`{name}` ({method})"
        for method, found in result["methods"].items()
        for name in sets
        if method != "Ruse" and found[name]["macro_f1"] > ours[name]["macro_f1"]
    ]
    return table + "\n\nRuse has the lower macro-F1 on: " + (", ".join(behind) or "none of them") + "."


def _short(interval: Interval) -> str:
    return f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def _figure(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"


def _confused(names: list[str], confusion: list[list[int]], most: int = 12) -> list[str]:
    pairs = [
        (n, names[k], names[j]) for k, row in enumerate(confusion) for j, n in enumerate(row) if j != k and n
    ]
    return [f"{true} → {given} ({n})" for n, true, given in sorted(pairs, reverse=True)[:most]]


def write(classifier: Classifier, report: dict[str, Any], compared: dict[str, Any] | None) -> None:
    """Write docs/model-card.md."""
    manifest = classifier.manifest
    known = manifest.calibration
    errors = ", ".join(f"{k} {v:.3f}" for k, v in known["calibration_error"].items())
    parts = [
        "# Model card",
        "Generated by `python -m training evaluate --card`; do not edit. "
        f"Model `{manifest.version}`, taxonomy `{manifest.taxonomy}`; measured {date.today().isoformat()} "
        f"on {platform.machine()}, Python {platform.python_version()}.",
        "## What it is for",
        "Sorting reports of scams, in Chinese and English, by scheme: to route a case, warn the next "
        "victim, and count what grows. It is not for deciding about a person: not whether somebody is "
        "guilty, is believed or is paid back. It reads reports, not the scam messages themselves, and "
        "was written for Simplified and Traditional Chinese and for English.",
        "## Data",
        f"{manifest.trained_on['examples']} reports in {manifest.trained_on['batches']} batches, all "
        "written for this project (`training/corpus`, Apache-2.0), with altered copies, the taxonomy's "
        "own cues and what people call its schemes. No real person's report is in it. The measured sets are "
        "real and never enter a fit.",
        "## On texts it has never seen",
        "`python -m training evaluate`; 95 % intervals by bootstrap over the rows. Macro-F1 is over "
        "categories with at least 5 rows, of which all sets together have more. *Answered* is what is not "
        "sent to review.",
        figures(report),
        "## On own batches held out whole",
        f"Every report scored by a fit that saw nothing of its batch ({known['rows']} reports): category "
        f"right {known['category_accuracy_strict']:.3f} strict, {known['category_accuracy_second']:.3f} with "
        "the second allowed; scheme right where the category is right "
        f"{_figure(known['scheme_accuracy_where_category_right'])}; expected calibration error, 15 "
        f"equal-mass bins: {errors}; near-domain `not_fraud` recall {_figure(known['near_domain_recall'])}; "
        f"frauds called `not_fraud` {_figure(known['fraud_called_not_fraud'])}.",
        "Most frequent confusions there: " + "; ".join(_confused(list(known["prior"]), known["confusion"])),
        "## The promise",
        modelcard.promise(manifest),
        "A desk whose reports differ calibrates on its own reviews, without a fit: "
        "`python -m training calibrate --reviews FILE --output FOLDER`.",
    ]
    if compared:
        parts += [
            "## Against what else one could do",
            f"`python -m training compare`, {compared['date']}, model `{compared['model']}`, each fitted on "
            "the same corpus.",
            comparison(compared),
        ]
    parts += [
        "## Weaknesses",
        "A category with few rows above is known too little to be believed in that language. Short texts, "
        "texts in other languages and stories that run through several schemes are where it fails first; "
        "the confusions above name the pairs.",
    ]
    CARD.parent.mkdir(exist_ok=True)
    CARD.write_text("\n\n".join(parts) + "\n", "utf-8")
