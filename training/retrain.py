"""Retrain: collect, check, audit, fit, calibrate, evaluate, decide; promote what is not worse.

A run has a folder named by a hash of all its inputs. What it has done it finds there again, so it can be
broken off at any moment and begun anew with the same command.
"""

import json
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from model import artifact
from model import taxonomy as trees
from model.classifier import Classifier, load
from training import (
    audit,
    audit_page,
    bars,
    calibrate,
    check,
    collect,
    contest,
    corpora,
    decide,
    decisions,
    entrants,
    modelcard,
    promote,
    quarantine,
    report,
    suites,
    train,
)  # fmt: skip
from training import plan as inputs
from training.collect import Row
from training.plan import Plan

MOST_DOUBTS = 500  # on the audit's page


@dataclass(frozen=True)
class Outcome:
    """Where a run stands and what it decided."""

    folder: Path
    version: str
    promoted: bool
    reasons: list[str]


def run(plan: Plan) -> Outcome:
    """The whole of it, but for the promotion. Raises CorpusError, TaxonomyError, ArtifactError."""
    content = inputs.taxonomy_text(plan)
    folder = plan.work / inputs.fingerprint(plan, content)
    folder.mkdir(parents=True, exist_ok=True)
    own = folder / artifact.TAXONOMY
    if content is not None:
        inputs.write(own, content)
    tree = trees.load(own if content is not None else None)
    champion, champion_home = inputs.champion(plan)
    fits = [c for c in plan.corpora if c.use == "fit"]
    known = decisions.load(plan.models / decisions.FILE, tree) if plan.models else {}
    with bars.step("collect"):
        rows, faults, about = collect.gather(fits, tree, plan.most_bad)
        rows = decisions.apply(rows, known, tree)
    with bars.step("check"):
        held = _quarantine(rows, champion, known)
        out = {id(one.row) for one in held}
        rows, conflicting, copies = collect.conflicts([row for row in rows if id(row) not in out])
        measured, messages, unmeasured = inputs.measured(plan.corpora, tree)
        faults += conflicting + unmeasured
        inputs.write(folder / "faults.txt", "".join(f"{fault}\n" for fault in faults))
        inputs.write(folder / "quarantine.jsonl", _lines(_held(one) for one in held))
        whole = {c.name for c in fits if c.path == corpora.OWN}
        checked = check.check(rows, measured | messages, whole, *inputs.remembered(plan.models))
        checked.report.update(copies=copies, bad=len(faults), quarantined=dict(Counter(h.rule for h in held)))
        inputs.write(folder / "check.json", inputs.as_json(checked.report))
    trained = train.train(
        [row.example for row in checked.rows], tree, folder / promote.MODEL, plan.settings,
        {one["name"]: one["sha256"] for one in about}, checked.groups, folder / "folds",
    )  # fmt: skip
    if content is not None:
        inputs.write(folder / promote.MODEL / artifact.TAXONOMY, content)
    with bars.step("audit"):
        doubts = audit.find(trained.examples, trained.scores, tree, trained.manifest.temperature)
        doubts = [line for line in doubts if known.get(line["key"]) != decisions.KEEP]
        inputs.write(folder / "audit.jsonl", _lines(doubts))
        page = audit_page.page(
            doubts[:MOST_DOUBTS], [_held(h) | {"text": h.row.example.text} for h in held], tree
        )
        inputs.write(folder / "audit.html", page)
    with bars.step("evaluate"):
        challenger = load(folder / promote.MODEL)
        sets = entrants.answered(challenger, champion, champion_home, checked, measured, trained)
        judged = contest.report(sets, challenger, champion)
        tried = {
            name: suites.report(
                one, entrants.for_suites(measured, checked), messages if _harmless(one) else {}
            )
            for name, one in (("challenger", challenger), ("champion", champion))
            if one is not None
        }
    size = _size(folder / promote.MODEL)
    checks = decide.decide(judged, size, challenger.bias.size)
    reasons = [f"{c.name}: {c.seen}" for c in checks if not c.passed]
    decision = {
        "model": trained.manifest.version,
        "promoted": not reasons,
        "reasons": reasons,
        "checks": [asdict(c) for c in checks],
    }
    whole_report = {
        "made": f"{date.today().isoformat()}, {platform.machine()}, Python {platform.python_version()}",
        "decision": decision,
        "contest": judged,
        "suites": tried,
        "collected": about,
        "check": checked.report,
        "bytes": size,
        "champion_bytes": _size(champion_home) if champion_home else None,
    }
    inputs.write(folder / "report.json", inputs.as_json(whole_report))
    inputs.write(folder / "report.html", report.page(json.loads(inputs.as_json(whole_report))))
    inputs.write(folder / promote.CARD, modelcard.page(trained.manifest, judged))
    inputs.write(folder / promote.DECISION, inputs.as_json(decision))
    if plan.models:
        inputs.remember(plan.models, checked)
    return Outcome(folder, trained.manifest.version, not reasons, reasons)


def _quarantine(
    rows: Sequence[Row], champion: Classifier | None, known: Mapping[str, str]
) -> list[quarantine.Held]:
    """Reviews held by rule, but for those about which a person has decided."""
    reviews = [row for row in rows if row.review and row.key not in known]
    answers = (
        [p.category for p in champion.classify([row.example.text for row in reviews])]
        if champion
        else [row.example.category for row in reviews]
    )
    return quarantine.judge(reviews, answers)


def _held(one: quarantine.Held) -> dict[str, Any]:
    row = one.row
    return {
        "key": row.key, "id": row.example.id, "where": row.where, "category": row.example.category,
        "reviewer": row.reviewer, "source": row.source, "rule": one.rule, "why": one.message,
    }  # fmt: skip


def _harmless(classifier: Classifier) -> bool:
    return calibrate.HARMLESS in classifier.taxonomy.category_ids


def _size(home: Path) -> int:
    return sum((home / name).stat().st_size for name in (artifact.MANIFEST, artifact.ARRAYS))


def _lines(rows: Any) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
