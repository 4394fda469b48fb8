"""Calibration: temperature, lapse, the promise, the error."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from model import Classifier, artifact
from model.taxonomy import Taxonomy
from training import calibrate, modelcard
from training.corpora import Example


def simulated(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of four schemes in two categories, truths drawn from them."""
    generator = np.random.default_rng(seed)
    scores = generator.normal(scale=2, size=(n, 4))
    chances = calibrate.softmax(scores, 1.0)
    schemes = (chances.cumsum(axis=1) > generator.random((n, 1))).argmax(axis=1)
    index = np.array([0, 0, 1, 1])
    return scores, index, index[schemes]


def of_schemes(tree: Taxonomy, schemes: np.ndarray) -> list[Example]:
    """An example of each of these schemes (columns)."""
    return [
        Example(str(i), "t", tree.category_ids[tree.category_index[s]], tree.scheme_ids[s], language="en")
        for i, s in enumerate(schemes)
    ]


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_a_scaling(factor: float) -> None:
    """Scores multiplied by a factor get that factor as their temperature, and no lapse."""
    scores, index, truths = simulated(4000, 0)
    nobody = np.full(4000, -1)
    heat, lapse = calibrate.temperature_and_lapse(scores * factor, index, truths, nobody)
    assert heat == pytest.approx(factor, rel=0.1)
    assert lapse < 0.01


def test_the_lapse_is_the_share_that_no_score_decides() -> None:
    """Where one in a hundred truths is drawn by lot, that share is found, and the temperature as it was."""
    scores, index, truths = simulated(200_000, 0)
    generator = np.random.default_rng(3)
    by_lot = generator.random(200_000) < 0.01
    truths = np.where(by_lot, generator.integers(0, 2, 200_000), truths)
    heat, lapse = calibrate.temperature_and_lapse(3 * scores, index, truths, np.full(200_000, -1))
    assert heat == pytest.approx(3, rel=0.05)
    assert lapse == pytest.approx(0.01, abs=0.004)


def test_the_mix_of_a_corpus_does_not_decide_the_temperature(tree: Taxonomy) -> None:
    """With a balance of 1 it stays where it is when one category, harder than the others, is ten times as
    frequent, and with none it rises.
    """
    generator = np.random.default_rng(5)
    hard = tree.category_ids.index("not_fraud")
    heats = []
    for times in (1, 10):
        schemes = np.repeat(np.arange(len(tree.scheme_ids)), 400)
        own = np.array(tree.category_index)[schemes] == hard
        schemes = np.concatenate([schemes, np.repeat(schemes[own], times - 1)])
        own = np.array(tree.category_index)[schemes] == hard
        examples = of_schemes(tree, schemes)
        scores = generator.normal(size=(len(schemes), len(tree.scheme_ids)))
        scores[np.arange(len(schemes)), schemes] += np.where(own, 2.0, 5.0)
        heats.append(
            [calibrate.calibrate(scores, examples, tree, balance=b)["temperature"] for b in (0.0, 1.0)]
        )
    assert heats[1][0] > 1.1 * heats[0][0]
    assert heats[1][1] == pytest.approx(heats[0][1], rel=0.05)


def test_a_few_odd_reports_do_not_decide_the_temperature(tree: Taxonomy) -> None:
    """Three reports of a category that are all wrong change it little, although categories weigh alike."""
    generator = np.random.default_rng(9)
    schemes = np.repeat(np.flatnonzero(np.array(tree.category_index) < 4), 100)
    examples = of_schemes(tree, schemes)
    scores = generator.normal(size=(len(schemes), len(tree.scheme_ids)))
    scores[np.arange(len(schemes)), schemes] += 3
    odd = [Example("", "t", "romance")] * 3
    even, plain = (
        calibrate.calibrate(np.vstack([scores, scores[:3]]), examples + odd, tree, balance=b)["temperature"]
        for b in (1.0, 0.0)
    )
    assert even == pytest.approx(plain, rel=0.1)


def test_answers_that_a_second_category_makes_right_are_more_probable() -> None:
    """Where half of the wrong answers are defensible, the temperature falls until probabilities say so."""
    scores, index, truths = simulated(4000, 0)
    nobody = np.full(4000, -1)
    seconds = np.where(np.arange(4000) % 2, 1 - truths, -1)
    gaps = []
    heats = [calibrate.temperature_and_lapse(scores, index, truths, known) for known in (seconds, nobody)]
    for heat, lapse in heats:
        chances = calibrate.lapsed(calibrate.roll_up(calibrate.softmax(scores, heat), index, 2), lapse)
        answers = chances.argmax(axis=1)
        right = (answers == truths) | (answers == seconds)
        gaps.append(abs(chances.max(axis=1).mean() - right.mean()))
    assert heats[0][0] < 0.8 * heats[1][0]
    assert gaps[0] < gaps[1] / 2


def test_clopper_pearson_needs_29_without_an_error() -> None:
    """The one-sided 95 % lower bound passes .90 at 29 right of 29, as tables say."""
    assert calibrate.lower_bound(28, 28) < 0.90 <= calibrate.lower_bound(29, 29)
    assert calibrate.lower_bound(0, 10) == 0.0
    bound = calibrate.lower_bound(45, 50)
    assert binom.sf(44, 50, bound) == pytest.approx(0.05)  # so many right by chance, were it the truth


def test_the_promise_is_kept_where_it_is_given() -> None:
    """In simulated categories of known precision the promise is broken in at most 5 % of the draws."""
    generator = np.random.default_rng(1)
    broken = 0
    for _ in range(200):
        chances = generator.uniform(0.3, 1.0, 400)
        right = generator.random(400) < chances  # precision at t is the mean of chances above t
        kept = calibrate.promises(chances, right, np.zeros(400, int), ["only"])["only"]
        if kept.threshold < 1:
            broken += (kept.threshold + 1.0) / 2 < calibrate.PROMISE - 1e-9
    assert broken <= 10


def test_a_category_with_too_few_rows_is_never_answered() -> None:
    """Twenty right answers are no promise."""
    kept = calibrate.promises(np.full(20, 0.99), np.ones(20, bool), np.zeros(20, int), ["few", "none"])
    assert kept["few"].threshold == kept["none"].threshold == calibrate.NEVER


def test_the_calibration_error_of_a_perfect_model_is_small() -> None:
    """Probabilities that are true have a small error, over-confident ones a large one."""
    generator = np.random.default_rng(2)
    chances = generator.uniform(0.2, 1.0, 5000)
    right = generator.random(5000) < chances
    assert calibrate.calibration_error(chances, right) < 0.03
    assert calibrate.calibration_error(np.sqrt(chances), right) > 0.08


def test_the_candidates_hold_the_truth_as_often_as_promised() -> None:
    """On fresh reports of every category at least 90 %, within chance, have it among the candidates."""
    generator = np.random.default_rng(5)

    def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
        truths = generator.integers(0, 4, n)
        scores = generator.normal(size=(n, 4)) + 1.5 * np.eye(4)[truths]
        return calibrate.softmax(scores, 1.0), truths

    levels = calibrate.candidate_levels(*draw(4000))
    chances, truths = draw(8000)
    for k in range(4):
        assert (chances[truths == k, k] >= levels[k]).mean() >= 0.885


def test_the_candidates_are_those_of_crepes() -> None:
    """On fixed inputs the sets are those that `crepes` gives (frozen, with the script that made them)."""
    frozen = json.loads(Path(__file__).with_name("fixtures").joinpath("candidates.json").read_text())
    levels = calibrate.candidate_levels(np.array(frozen["chances"]), np.array(frozen["truths"]))
    ours = (np.array(frozen["fresh"]) >= levels - 1e-12).astype(int)
    assert ours.tolist() == frozen["sets"]


def test_a_category_with_too_few_rows_is_always_a_candidate() -> None:
    """With five reports no level can promise 90 %, so the category always joins."""
    chances = np.full((5, 2), 0.5)
    assert calibrate.candidate_levels(chances, np.zeros(5, int))[0] == 0.0


def test_a_perfect_model_passes_the_check_and_an_overconfident_one_fails() -> None:
    """The simulated null does not speak against true probabilities and does against inflated ones."""
    generator = np.random.default_rng(6)
    chances = generator.uniform(0.3, 0.95, 300)
    right = generator.random(300) < chances
    assert calibrate.check(chances, right).p_value > 0.05
    assert calibrate.check(chances**0.3, right).p_value < 0.01


def test_what_is_calibrated_is_what_the_model_says(small_model: Path, tree: Taxonomy) -> None:
    """Temperature and lapse, once in a manifest, give the probabilities that the thresholds rest on."""
    generator = np.random.default_rng(8)
    schemes = generator.integers(0, len(tree.scheme_ids), 4000)
    examples = of_schemes(tree, schemes)
    seen = np.where(generator.random(4000) < 0.01, generator.integers(0, len(tree.scheme_ids), 4000), schemes)
    scores = generator.normal(size=(4000, len(tree.scheme_ids))) + 9 * np.eye(len(tree.scheme_ids))[seen]
    known = calibrate.calibrate(scores, examples, tree)
    assert known["lapse"] > 0.004
    manifest, arrays = artifact.load(small_model)
    shape = {name: known[name] for name in ("temperature", "lapse")}
    classifier = Classifier(replace(manifest, **shape), arrays, tree)
    texts = ["paid a fee for the loan", "the parcel has drugs in it, said the police"]
    plain = calibrate.softmax(classifier.scores(texts)[0][:, : len(tree.scheme_ids)], known["temperature"])
    rolled = calibrate.roll_up(plain, classifier.category_index, len(tree.category_ids))
    np.testing.assert_allclose(
        classifier.category_probabilities(texts), calibrate.lapsed(rolled, known["lapse"]), atol=1e-5
    )


def test_the_card_says_what_errors_are_set_to_cost(small_model: Path, tree: Taxonomy) -> None:
    """It names the bars, and that of not_fraud and its holding back only where there is such a category."""
    manifest = artifact.load(small_model)[0]
    known = {
        "costs": {"missed_fraud": 9.0, "false_alarm": 1.0, "wrong_answer": 3.0, "review": 1.0},
        "answered_whatever_errors_cost": {"coverage": 0.5, "right": 0.75},
    }
    manifest = replace(
        manifest, temperature=0.5, calibration=known, trained_on={"settings": {"caution": 0.2}}
    )
    said = modelcard.costs(manifest)
    assert "nothing is answered below 0.75" in said
    assert "`not_fraud` is never answered below 0.90" in said
    assert "held back by 0.40 in log-odds" in said
    assert "50.0% would be answered, 75.0% of them right" in said
    others = {name: least for name, least in manifest.thresholds.items() if name != "not_fraud"}
    assert "not_fraud" not in modelcard.costs(replace(manifest, thresholds=others))


def test_a_missed_fraud_that_costs_more_raises_the_bar_for_not_fraud(tree: Taxonomy) -> None:
    """The threshold of not_fraud follows the costs; the others stay."""
    generator = np.random.default_rng(7)
    schemes = generator.integers(0, len(tree.scheme_ids), 4000)
    examples = of_schemes(tree, schemes)
    scores = generator.normal(size=(4000, len(tree.scheme_ids))) + 9 * np.eye(len(tree.scheme_ids))[schemes]
    cheap, dear = (
        calibrate.calibrate(scores, examples, tree, calibrate.COSTS | {"missed_fraud": cost})["thresholds"]
        for cost in (0.1, 19.0)
    )
    assert dear["not_fraud"] == pytest.approx(0.95)
    assert cheap["not_fraud"] < 0.95
    assert min(cheap.values()) >= 0.6  # where a wrong answer costs 1.5 reviews
    assert {k: v for k, v in cheap.items() if k != "not_fraud"} == {
        k: v for k, v in dear.items() if k != "not_fraud"
    }
