"""Contest: champion and challenger on the same rows in one run, with paired intervals.

A row is one of three kinds: of a measured set, frozen (never fitted by either), or held out (answered by
fits that had not seen it; what the champion had said stands beside it). All are answered by both.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import thread_time
from typing import Any

import numpy as np

from model.classifier import Classifier
from training import calibrate, evaluate
from training.corpora import Example

SAMPLES = 5000  # of the bootstrap: enough for Holm's correction over 200 categories
LEAST_VIEW, MOST_VIEWS = 20, 30  # rows of a source to be shown, and how many sources
SPEED_TEXTS, SPEED_ROUNDS = 1000, 5
MOST_CHECKED = 5000  # rows of a calibration check; it simulates two thousand models
BINS = 10  # of the reliability diagram


@dataclass(frozen=True)
class Answers:
    """What two models say of the rows of one set; the champion's are None where it said nothing.

    `chances` and `answered` (not sent to review) are the challenger's and the champion's, None for rows
    that were answered by fits and not by a whole model.
    """

    examples: Sequence[Example]
    sources: Sequence[str]
    challenger: Sequence[str]
    champion: Sequence[str | None]
    schemes: Sequence[str]
    chances: np.ndarray | None = None
    answered: tuple[np.ndarray, np.ndarray | None] | None = None


def ask(
    challenger: Classifier, champion: Classifier | None, examples: Sequence[Example], sources: Sequence[str]
) -> Answers:
    """Both models answer the texts."""
    texts = [example.text for example in examples]
    new = challenger.classify(texts)
    old = champion.classify(texts) if champion else None
    return Answers(
        examples,
        sources,
        [p.category for p in new],
        [p.category for p in old] if old else [None] * len(texts),
        [p.scheme for p in new],
        np.array([p.category_probability for p in new]),
        (
            np.array([not p.needs_review for p in new]),
            np.array([not p.needs_review for p in old]) if old else None,
        ),
    )


def report(
    sets: Mapping[str, Answers], challenger: Classifier, champion: Classifier | None
) -> dict[str, Any]:
    """Everything compared, as JSON can hold it; no text is in it."""
    known = set(champion.taxonomy.category_ids) if champion else set(challenger.taxonomy.category_ids)
    rows = [
        (name, e, source, new, old)
        for name, a in sets.items()
        for e, source, new, old in zip(a.examples, a.sources, a.challenger, a.champion, strict=True)
    ]
    views: dict[str, dict[str, list[Any]]] = {"sets": {}, "languages": {}, "sources": {}}
    for row in rows:
        for view, name in zip(views.values(), (row[0], row[1].language, row[2]), strict=True):
            view.setdefault(name, []).append(row)
    found: dict[str, Any] = {
        "challenger": challenger.manifest.version,
        "champion": champion.manifest.version if champion else None,
        "rows": len(rows),
        "overall": _figures(rows, known),
    }
    for kind, parts in views.items():
        shown = sorted(parts, key=lambda name: (-len(parts[name]), name))[:MOST_VIEWS]
        found[kind] = {
            name: _figures(parts[name], known, brief=True)
            for name in shown
            if kind == "sets" or len(parts[name]) >= LEAST_VIEW
        }
    whole = {name: a for name, a in sets.items() if a.chances is not None}
    found["calibration"] = {name: _calibration(a) for name, a in whole.items()}
    found["promise"] = _promise(list(whole.values()))
    found["confusion"] = Counter(
        (row[1].category, row[3]) for row in rows if row[3] not in (row[1].category, row[1].second)
    ).most_common(40)
    found["new_schemes"] = _new_schemes(sets, challenger, champion)
    found["near_domain"] = _near_domain(sets)
    found["speed"] = speed([row[1].text for row in rows], challenger, champion)
    return found


def _figures(rows: Sequence[Any], known: set[str], brief: bool = False) -> dict[str, Any]:
    """Macro-F1, accuracy and F1 by category of both, and the paired differences.

    Rows bootstrapped together; rows whose four cells agree are drawn as one multinomial cell. What only
    the challenger can name is not in the differences: the champion could not know it.
    """
    shared = [row for row in rows if row[4] is not None and row[1].category in known]
    found: dict[str, Any] = {"rows": len(rows)}
    names = evaluate.large_enough([row[1] for row in rows])
    new, new_f1 = _bootstrap([row[1] for row in rows], [[row[3] for row in rows]], names)
    found["challenger"] = {"macro_f1": _interval(new[0]), "accuracy": _right(rows, 3)}
    if not brief:
        found["categories"] = {
            name: {"rows": sum(row[1].category == name for row in rows), "f1": _interval(new_f1[0][:, k])}
            for k, name in enumerate(names)
        }
    found["champion"] = found["difference"] = None
    if shared:
        names = evaluate.large_enough([row[1] for row in shared])
        answers = [[row[3] for row in shared], [row[4] for row in shared]]
        both, f1 = _bootstrap([row[1] for row in shared], answers, names)
        found["champion"] = {"macro_f1": _interval(both[1]), "accuracy": _right(shared, 4)}
        found["difference"] = _interval(both[0] - both[1])
        found["difference"]["rows"] = len(shared)
        for k, name in enumerate(names if not brief else ()):
            change = f1[0][:, k] - f1[1][:, k]
            found["categories"][name] |= {
                "champion": _interval(f1[1][:, k]),
                "difference": _interval(change),
                "p_worse": float((1 + (change[1:] >= 0).sum()) / (1 + SAMPLES)),
            }
    return found


def _bootstrap(
    examples: Sequence[Example], answers: Sequence[Sequence[str]], names: Sequence[str]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """For each model macro-F1 (1 + SAMPLES,) and F1 (1 + SAMPLES, n_names); the first is of the rows."""
    columns = [c for given in answers for c in (evaluate.truths(examples, given, True), list(given))]
    cells = Counter(zip(*columns, strict=True))
    kinds = sorted(cells)
    counts = np.array([cells[kind] for kind in kinds], np.float64)
    total = int(counts.sum())
    drawn = np.random.default_rng(0).multinomial(total, counts / counts.sum(), SAMPLES)
    drawn = np.concatenate([counts[None, :], drawn.astype(np.float64)])
    macro, f1 = [], []
    for at in range(0, len(columns), 2):
        true = np.array([kind[at] for kind in kinds])[:, None] == np.array(names)
        given = np.array([kind[at + 1] for kind in kinds])[:, None] == np.array(names)
        found = 2 * (drawn @ (true & given)) / np.maximum(drawn @ true + drawn @ given, 1)
        f1.append(found)
        macro.append(found.mean(axis=1) if names else np.zeros(len(drawn)))
    return macro, f1


def _interval(values: np.ndarray) -> dict[str, float]:
    low, high = np.quantile(values[1:], (0.025, 0.975))
    return {"value": float(values[0]), "low": float(low), "high": float(high)}


def _right(rows: Sequence[Any], at: int) -> float:
    return sum(row[at] in (row[1].category, row[1].second) for row in rows) / max(1, len(rows))


def _good(answers: Sequence[str | None], examples: Sequence[Example]) -> np.ndarray:
    return np.array([a in (e.category, e.second) for a, e in zip(answers, examples, strict=True)], bool)


def _calibration(a: Answers) -> dict[str, Any]:
    assert a.chances is not None
    good = _good(a.challenger, a.examples)
    some = np.linspace(0, good.size - 1, min(good.size, MOST_CHECKED)).astype(np.int64)
    found = calibrate.check(a.chances[some], good[some])
    order = np.argsort(a.chances, kind="stable")
    bins = [
        {"said": float(a.chances[part].mean()), "right": float(good[part].mean()), "rows": int(part.size)}
        for part in np.array_split(order, min(BINS, max(1, good.size // 20)))
        if part.size
    ]
    return vars(found) | {"bins": bins}


def _promise(sets: Sequence[Answers]) -> dict[str, Any]:
    """Of what each model answered: how many, and how many were right, by category and in all."""
    found: dict[str, Any] = {}
    for at, who in enumerate(("challenger", "champion")):
        kept: dict[str, list[int]] = {}
        for a in sets:
            given = a.challenger if who == "challenger" else a.champion
            answered = a.answered[at] if a.answered else None
            if answered is None:
                continue
            for answer, right, yes in zip(given, _good(given, a.examples), answered, strict=True):
                if yes:
                    for name in (str(answer), "all"):
                        count = kept.setdefault(name, [0, 0])
                        count[0] += 1
                        count[1] += int(right)
        found[who] = {name: {"answered": n, "right": k} for name, (n, k) in sorted(kept.items())}
    return found


def _new_schemes(
    sets: Mapping[str, Answers], challenger: Classifier, champion: Classifier | None
) -> dict[str, dict[str, int]]:
    """Schemes that the champion cannot name: their rows, and how many were named right."""
    if champion is None:
        return {}
    new = set(challenger.taxonomy.scheme_ids) - set(champion.taxonomy.scheme_ids)
    found = {name: {"rows": 0, "right": 0} for name in sorted(new)}
    for a in sets.values():
        for example, scheme in zip(a.examples, a.schemes, strict=True):
            if example.scheme in new:
                found[example.scheme]["rows"] += 1
                found[example.scheme]["right"] += scheme == example.scheme
    return found


def _near_domain(sets: Mapping[str, Answers]) -> dict[str, dict[str, int]]:
    """Harmless cases that are told like frauds: how many each model calls harmless, of those it answered."""
    found = {who: {"rows": 0, "right": 0} for who in ("challenger", "champion")}
    for a in sets.values():
        for example, *said in zip(a.examples, a.challenger, a.champion, strict=True):
            if example.scheme in calibrate.NEAR_DOMAIN:
                for who, answer in zip(found, said, strict=True):
                    if answer is not None:
                        found[who]["rows"] += 1
                        found[who]["right"] += answer == calibrate.HARMLESS
    return found


def speed(
    texts: Sequence[str], challenger: Classifier, champion: Classifier | None
) -> dict[str, float | None]:
    """Texts a second of each on the same texts, the best of several rounds in turn.

    Counted in the time of this thread on a core: what else the machine does must not decide.
    """
    some = (list(texts) * (SPEED_TEXTS // max(1, len(texts)) + 1))[:SPEED_TEXTS] if texts else ["text"]
    best: dict[str, float | None] = {"challenger": None, "champion": None}
    for _ in range(SPEED_ROUNDS):
        for who, model in (("challenger", challenger), ("champion", champion)):
            if model is not None:
                began = thread_time()
                model.classify(some)
                best[who] = max(best[who] or 0.0, len(some) / (thread_time() - began))
    return best
