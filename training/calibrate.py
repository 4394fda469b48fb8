"""Calibrate: a temperature, a lapse, the promise of each category's answers, and sets of candidates.

All rest on scores of reports that the model has not seen: of whole batches held out, or a desk's own
reviews.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.stats import beta

from model.taxonomy import Taxonomy
from training import fit
from training.corpora import Example

PROMISE = 0.90  # least share of right answers among those given, per category
CONFIDENCE = 0.95  # one-sided
GRID = (*(round(0.30 + 0.05 * k, 2) for k in range(14)), 0.97, 0.99)
N_GOLDEN, SURE, SHORT = 6, 0.97, 160  # texts a model is tried on when it is loaded in a service
SIMULATIONS = 2000  # of the null of a calibration check
CANDIDATES = 0.90  # share of each category's reports whose set of candidates must hold it
MOST_LAPSE = 0.02  # so that the surest answers, at most 1 less this, still pass SURE
FEW = 200  # reports of a category below which they say too little of how hard it is to weigh like others
HARMLESS = "not_fraud"  # the category that is no fraud, where a taxonomy has it
NEAR_DOMAIN = ("consumer_dispute", "genuine_service", "harassment_abuse", "fraud_advice")
# What an error costs. "Not a fraud" is answered only where being wrong costs less than a review
# of a false alarm would: from a probability of missed / (missed + false) on. No category is answered
# where being wrong is likely to cost more than having a person look: below wrong / (wrong + review).
COSTS = {"missed_fraud": 4.0, "false_alarm": 1.0, "wrong_answer": 1.5, "review": 1.0}
NEVER = 2.0  # a threshold that no probability reaches


def softmax(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Rows of probabilities (n, k)."""
    scaled = (scores - scores.max(axis=1, keepdims=True)) / temperature
    powers = np.exp(scaled.astype(np.float64))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def roll_up(probabilities: np.ndarray, category_index: np.ndarray, n_categories: int) -> np.ndarray:
    """Category probabilities (n, n_categories) from scheme probabilities."""
    return np.asarray(probabilities @ np.eye(n_categories)[category_index])


def lapsed(categories: np.ndarray, lapse: float) -> np.ndarray:
    """Probabilities (n, n_categories) with a share spread evenly over the categories."""
    return np.asarray((1 - lapse) * categories + lapse / categories.shape[1])


def temperature_and_lapse(
    scores: np.ndarray,
    category_index: np.ndarray,
    truths: np.ndarray,
    seconds: np.ndarray,
    weights: np.ndarray | None = None,
) -> tuple[float, float]:
    """The temperature and the lapse at which an answer's probability is most likely that of its being right.

    Right is what a reviewer lets pass: the true category or the second one, -1 where there is none.
    Scaling by one temperature is Guo et al. 2017, with a share of even probability beside it Zhang,
    Kailkhura and Han 2020 (Mix-n-Match: "ensemble temperature scaling"), for the answer alone Gupta and
    Ramdas 2022 (Top-label calibration); the likelihood of the true category alone would make too little
    of answers that are defensible. Without the lapse the few sure answers that are wrong would have all
    others called less probable than they are. `weights` (n,) say how much each example counts.
    """
    n_categories = int(category_index.max()) + 1
    rows = np.arange(len(truths))

    def loss(point: np.ndarray) -> float:
        schemes = softmax(scores, float(np.exp(point[0])))
        chances = lapsed(roll_up(schemes, category_index, n_categories), float(point[1]))
        answers = chances.argmax(axis=1)
        right = (answers == truths) | (answers == seconds)
        said = np.where(right, chances[rows, answers], 1 - chances[rows, answers])
        return -float(np.average(np.log(np.maximum(said, 1e-12)), weights=weights))

    least = minimize(
        loss, (0.0, 0.0), method="Nelder-Mead", bounds=((-2.5, 2.5), (0, MOST_LAPSE)),
        options={"initial_simplex": [(0.0, 0.0), (0.3, 0.0), (0.0, 0.01)], "xatol": 1e-4, "fatol": 1e-7},
    ).x  # fmt: skip
    return float(np.exp(least[0])), float(least[1])


def lower_bound(right: int, answered: int, confidence: float = CONFIDENCE) -> float:
    """Clopper-Pearson lower bound of a share, one-sided."""
    if right == 0:
        return 0.0
    return float(beta.ppf(1 - confidence, right, answered - right + 1))


def columns(examples: Sequence[Example], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The true categories of examples and their second ones, -1 where there is none, as places in `names`."""
    place = {name: at for at, name in enumerate(names)}
    seconds = [place.get(e.second, -1) if e.second else -1 for e in examples]
    return np.array([place[e.category] for e in examples]), np.array(seconds)


@dataclass(frozen=True)
class Promise:
    """What is promised of one category: at or above `threshold`, `right` of `answered` were right."""

    threshold: float
    answered: int
    right: int
    bound: float


def promises(
    chances: np.ndarray, right: np.ndarray, answers: np.ndarray, names: Sequence[str]
) -> dict[str, Promise]:
    """The least threshold of each category whose answers keep the promise.

    `chances` (n,) of the answers (n,), `right` (n,) whether they were. The bound is corrected for
    the search over the grid (Bonferroni). A category with too few rows is never answered.
    """
    confidence = 1 - (1 - CONFIDENCE) / len(GRID)
    found = {}
    for index, name in enumerate(names):
        mine = answers == index
        found[name] = Promise(NEVER, 0, 0, 0.0)
        for threshold in GRID:
            given = mine & (chances >= threshold)
            answered, good = int(given.sum()), int(right[given].sum())
            bound = lower_bound(good, answered, confidence)
            if bound >= PROMISE:
                found[name] = Promise(threshold, answered, good, bound)
                break
    return found


def calibration_error(chances: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error over bins of equal mass."""
    order = np.argsort(chances, kind="stable")
    return float(
        sum(
            abs(chances[part].mean() - right[part].mean()) * part.size
            for part in np.array_split(order, bins)
            if part.size
        )
        / len(order)
    )


@dataclass(frozen=True)
class Check:
    """Observed calibration error against what a perfect model of these probabilities would show."""

    error: float
    null_median: float
    p_value: float


def check(chances: np.ndarray, right: np.ndarray) -> Check:
    """A simulated test: outcomes drawn from the model's own probabilities, 15 equal-mass bins."""
    observed = calibration_error(chances, right)
    generator = np.random.default_rng(0)
    null = np.array(
        [calibration_error(chances, generator.random(chances.size) < chances) for _ in range(SIMULATIONS)]
    )
    return Check(observed, float(np.median(null)), float((null >= observed).mean()))


def least_chances(costs: Mapping[str, float]) -> tuple[float, float]:
    """The least probability, by `COSTS` or others, at which anything is answered, and at which "not a fraud"
    is.
    """
    return (
        costs["wrong_answer"] / (costs["wrong_answer"] + costs["review"]),
        costs["missed_fraud"] / (costs["missed_fraud"] + costs["false_alarm"]),
    )


def candidate_levels(chances: np.ndarray, truths: np.ndarray, share: float = CANDIDATES) -> np.ndarray:
    """The least probability (n_categories,) at which a category joins a report's candidates.

    Class-conditional split conformal prediction (Vovk 2013) on one minus the probability: of the
    reports of a category, at least `share` have it among their candidates. A category with too few
    rows always joins (level 0).
    """
    levels = np.zeros(chances.shape[1])
    for k in range(chances.shape[1]):
        mine = np.sort(1 - chances[truths == k, k])
        place = int(np.ceil((mine.size + 1) * share - 1e-9))
        levels[k] = 1 - mine[place - 1] if 0 < place <= mine.size else 0.0
    return levels


def calibrate(
    scores: np.ndarray,
    examples: Sequence[Example],
    taxonomy: Taxonomy,
    costs: Mapping[str, float] = COSTS,
    balance: float = 0.0,
) -> dict[str, Any]:
    """What a manifest says of calibration: temperature, lapse, thresholds, and what they rest on.

    `scores` float32 (n_examples, n_schemes) before the temperature, of examples that the model that
    made them has not seen. For temperature and lapse examples weigh as `fit.balanced` says. Use a balance of
    0 where the mix of the examples is a desk's, and the fit's own where it is only a corpus's.
    """
    index = np.array(taxonomy.category_index)
    names = list(taxonomy.category_ids)
    truths, seconds = columns(examples, names)
    weights = fit.balanced(truths, np.arange(len(names)), balance, FEW)
    heat, lapse = temperature_and_lapse(scores, index, truths, seconds, weights)
    schemes = softmax(scores, heat)
    categories = lapsed(roll_up(schemes, index, len(names)), lapse)
    answers = categories.argmax(axis=1)
    chances = categories[np.arange(len(answers)), answers]
    right = (answers == truths) | (answers == seconds)
    kept = promises(chances, right, answers, names)
    floor, bar = least_chances(costs)
    thresholds = {name: max(kept[name].threshold, floor) for name in names}
    if HARMLESS in names:
        thresholds[HARMLESS] = max(thresholds[HARMLESS], bar)
    known = {
        "promise": PROMISE,
        "confidence": CONFIDENCE,
        "costs": dict(costs),
        "rows": len(examples),
        "batches": len({e.batch for e in examples}),
        "by_category": {name: asdict(kept[name]) for name in names},
        "candidates": dict(zip(names, candidate_levels(categories, truths).tolist(), strict=True)),
        "prior": {name: int((truths == k).sum()) for k, name in enumerate(names)},
        "confusion": [
            np.bincount(answers[truths == k], minlength=len(names)).tolist() for k in range(len(names))
        ],
        "answered": _answered(chances, right, answers, thresholds, names),
        "answered_whatever_errors_cost": _answered(
            chances, right, answers, {name: kept[name].threshold for name in names}, names
        ),
        "category_accuracy_strict": float((answers == truths).mean()),
        "category_accuracy_second": float(right.mean()),
        "calibration_error": _errors(chances, right, [e.language for e in examples]),
    }
    known["golden"] = _golden(examples, chances, right)
    known |= _by_scheme(examples, taxonomy, schemes, answers, truths)
    return {"temperature": heat, "lapse": lapse, "thresholds": thresholds, "calibration": known}


def _golden(examples: Sequence[Example], chances: np.ndarray, right: np.ndarray) -> list[dict[str, str]]:
    """Short, plain examples, one a category, that a loaded model must answer as this one would."""
    found: dict[str, str] = {}
    for i in np.argsort(-chances, kind="stable"):
        example = examples[i]
        if right[i] and chances[i] > SURE and len(example.text) < SHORT:
            found.setdefault(example.category, example.text)
    return [{"category": category, "text": found[category]} for category in sorted(found)[:N_GOLDEN]]


def _answered(
    chances: np.ndarray,
    right: np.ndarray,
    answers: np.ndarray,
    thresholds: Mapping[str, float],
    names: Sequence[str],
) -> dict[str, float]:
    """Coverage and share of right answers at these thresholds."""
    given = chances >= np.array([thresholds[name] for name in names])[answers]
    return {"coverage": float(given.mean()), "right": float(right[given].mean()) if given.any() else 0.0}


def _errors(chances: np.ndarray, right: np.ndarray, languages: Sequence[str]) -> dict[str, float]:
    known = np.array(languages)
    return {
        language: calibration_error(chances[known == language], right[known == language])
        for language in sorted(set(languages))
    }


def _by_scheme(
    examples: Sequence[Example],
    taxonomy: Taxonomy,
    schemes: np.ndarray,
    answers: np.ndarray,
    truths: np.ndarray,
) -> dict[str, float | None]:
    """Figures that need schemes, or the category that is no fraud; None where there are none."""
    index = np.array(taxonomy.category_index)
    ids = list(taxonomy.scheme_ids)
    targets = np.array([ids.index(e.scheme) if e.scheme else -1 for e in examples])
    inside = np.where(index[None, :] == truths[:, None], schemes, -1).argmax(axis=1)
    nothing = taxonomy.category_ids.index(HARMLESS) if HARMLESS in taxonomy.category_ids else -1
    cleared = answers == nothing
    near = np.array([e.scheme in NEAR_DOMAIN for e in examples])
    return {
        "scheme_accuracy_where_category_right": _share(
            inside == targets, (answers == truths) & (targets >= 0)
        ),
        "near_domain_recall": _share(cleared, near),
        "fraud_called_not_fraud": _share(cleared, truths != nothing) if nothing >= 0 else None,
    }


def _share(flags: np.ndarray, among: np.ndarray) -> float | None:
    return float(flags[among].mean()) if among.any() else None
