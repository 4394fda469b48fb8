"""The card of a promoted model: what it was fitted on, how it was judged, what it promises."""

from collections.abc import Mapping
from typing import Any

from model.artifact import Manifest
from training.calibrate import HARMLESS, least_chances


def page(manifest: Manifest, contest: Mapping[str, Any] | None = None) -> str:
    """The card as Markdown; `contest` is a run's report. No text of an example is in it."""
    known, trained = manifest.calibration, manifest.trained_on
    lines = [
        f"# Model {manifest.version}",
        "",
        f"Taxonomy `{manifest.taxonomy}`, {len(manifest.thresholds)} categories, "
        f"{len(manifest.schemes)} schemes. For sorting reports, not for deciding about a person.",
        "",
        "## Data",
        "",
        f"{trained.get('examples', 'unknown')} reports in {trained.get('batches', 'unknown')} groups; "
        "no group stands on both sides of a split.",
        "",
    ]
    lines += [f"- `{name}`, sha256 `{digest}`" for name, digest in trained.get("corpora", {}).items()]
    lines += ["", "## Judged", ""]
    lines += _judged(contest) if contest else ["Not judged against another model by `retrain`."]
    lines += ["", "## The promise", ""]
    if "by_category" not in known:
        return "\n".join([*lines, "This model was not calibrated; nothing is promised."]) + "\n"
    return "\n".join([*lines, promise(manifest)]) + "\n"


def promise(manifest: Manifest) -> str:
    """What a calibrated model promises, what errors cost, and the bar of each category, as Markdown."""
    known = manifest.calibration
    lines = [
        f"Of the reports answered, at least {known['promise']:.0%} are right in each category: a one-sided "
        f"{known['confidence']:.0%} Clopper-Pearson lower bound, corrected for the search, on reports held "
        f"out of the fit. There {known['answered']['coverage']:.1%} are answered and "
        f"{known['answered']['right']:.1%} of those are right. It holds for reports like those.",
        "",
        costs(manifest),
        "",
        "| category | threshold | right at the promise's | lower bound | reports |",
        "|---|---|---|---|---|",
    ]
    for name, kept in known["by_category"].items():
        least = manifest.thresholds[name]
        lines.append(
            f"| `{name}` | {'never' if least > 1 else f'{least:.2f}'} | {kept['right']} of "
            f"{kept['answered']} | {kept['bound']:.3f} | {known['prior'][name]} |"
        )
    return "\n".join(lines)


def costs(manifest: Manifest) -> str:
    """What errors are set to cost, and how scores become probabilities, of a calibrated model."""
    known = manifest.calibration
    cost, free = known["costs"], known["answered_whatever_errors_cost"]
    least, bar = least_chances(cost)
    said = [
        f"A wrong answer is set to cost {cost['wrong_answer']:g} times a review: so nothing is answered "
        f"below {least:.2f}."
    ]
    if HARMLESS in manifest.thresholds:
        said.append(
            f"A missed fraud is set to cost {cost['missed_fraud']:g} times what a false alarm costs "
            f"{cost['false_alarm']:g}: so `{HARMLESS}` is never answered below {bar:.2f}."
        )
    said.append(
        f"Without these bars {free['coverage']:.1%} would be answered, {free['right']:.1%} of them right."
    )
    caution = manifest.trained_on.get("settings", {}).get("caution", 0)
    if HARMLESS in manifest.thresholds and caution:
        said.append(
            f"Besides, `{HARMLESS}` is held back by {caution / manifest.temperature:.2f} in log-odds, in a "
            "text of usual length."
        )
    said.append(
        f"Scores become probabilities at a temperature of {manifest.temperature:.2f}; {manifest.lapse:.1%} "
        "of the probability is decided by no score and belongs to all categories alike."
    )
    return " ".join(said)


def _judged(contest: Mapping[str, Any]) -> list[str]:
    lines = [f"Against `{contest['champion'] or 'no other model'}`, on {contest['rows']} reports:", ""]
    for name, found in contest["sets"].items():
        now = found["challenger"]["macro_f1"]
        lines.append(
            f"- `{name}` ({found['rows']} rows): macro-F1 {now['value']:.3f} "
            f"[{now['low']:.3f}, {now['high']:.3f}]"
            + (f", before {found['champion']['macro_f1']['value']:.3f}" if found["champion"] else "")
        )
    return lines
