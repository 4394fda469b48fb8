"""What several tests share: the shipped model and a small one that is fitted in a second."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import model
from model import artifact, fold, taxonomy
from model.errors import ArtifactError
from model.kernel import Fold
from service.models import Models
from training import calibrate, contest, fit, guess, words

SMALL = {
    "loan_upfront_fee": [
        "They said my loan was approved but I must pay a processing fee first, then they blocked me.",
        "办贷款先让我交保证金，交了又说流水不够，钱没放下来",
        "paid insurance for the loan, the loan never came",
        "貸款要先繳手續費，繳了人就消失",
    ],
    "parcel_case": [
        "The caller said my parcel to Taiwan was held by customs because of drugs inside.",
        "快递员说我寄的包裹里有违禁品，转接给了海关的警官",
        "parcel with drugs in my name, call passed to the police",
        "他說我的包裹藏毒，要我配合海關調查",
    ],
    "consumer_dispute": [
        "The shop refuses to take back the shoes though they are broken, worst service ever.",
        "健身房不给退卡，老板态度很差，要求退费",
        "restaurant gave us cold food and would not change the bill",
        "網購的鞋子壞了，店家說過了七天不給退",
    ],
}


# Files that take longest, in the order in which they are begun, so that none is left for the end alone.
LONGEST = (
    "test_packaging", "test_bench", "test_prove_service", "test_walkthrough", "test_prove_relabel",
    "test_serve", "test_retrain", "test_main", "test_workers", "test_models", "test_worker", "test_commands",
    "test_contract", "test_relabels", "test_relabel", "test_spark", "test_faults",
)  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Compiles what answers, once, before several processes would do it at the same time."""
    if not hasattr(config, "workerinput"):
        with suppress(ArtifactError):  # tests say so better
            Models(model.load()).warm_up()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first; the others, and the tests of each, stay in their order."""
    order = {name: at for at, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.fixture(scope="session")
def tree() -> taxonomy.Taxonomy:
    """The shipped taxonomy."""
    return taxonomy.load()


@pytest.fixture(scope="session")
def classifier() -> model.Classifier:
    """The shipped model."""
    return model.load()


@pytest.fixture(scope="session")
def table() -> Fold:
    """The fold table."""
    return fold.make()


@pytest.fixture(scope="session")
def fitted(tree: taxonomy.Taxonomy, table: Fold) -> fit.Fitted:
    """A model of a dozen texts before it is compiled; its vectors are random, for speed."""
    texts = [text for known in SMALL.values() for text in known]
    targets = np.array([tree.scheme_ids.index(s) for s, known in SMALL.items() for _ in known])
    chosen, shares = words.choose(texts * 2, table)
    keep = [i for i, word in enumerate(chosen) if any(word in text.lower() for text in texts)]
    vocabulary = words.vocabulary(
        [chosen[i] for i in keep], shares[keep], texts, table,
        np.random.default_rng(0).normal(size=(len(keep), 64)).astype(np.float32),
    )  # fmt: skip
    settings = fit.Settings(least_texts=1, least_batches=1, copies=0, steps=60)
    batches = [str(i) for i in range(len(texts))]
    return fit.fit(
        texts,
        targets,
        batches,
        np.ones(len(texts)),
        np.array(tree.category_index),
        table,
        vocabulary,
        settings,
    )


@pytest.fixture
def small_model(tmp_path: Path, fitted: fit.Fitted, tree: taxonomy.Taxonomy, table: Fold) -> Path:
    """The folder of a small saved model."""
    return save_small(tmp_path / "small", fitted, tree, table)


def save_small(folder: Path, fitted: fit.Fitted, tree: taxonomy.Taxonomy, table: Fold) -> Path:
    """Save the small model in `folder`."""
    manifest = artifact.Manifest(
        version="0.1.0",
        taxonomy=tree.version,
        schemes=tree.scheme_ids,
        temperature=1.0,
        thresholds=dict.fromkeys(tree.category_ids, 0.5),
        scheme_threshold=0.5,
        sharpening=fitted.sharpening,
    )
    artifact.save(folder, manifest, fitted.tables() | fold.pack(table.targets, table.kinds))
    return folder


def shrink_words(monkeypatch: pytest.MonkeyPatch, table: Fold) -> None:
    """Training with a small vocabulary, short vectors by hash in place of the encoder's, few steps and
    few simulations."""
    lists = tuple(dict(sorted(known.items(), key=lambda e: -e[1])[:200]) for known in words._lists())

    def vectors(chosen: list[str]) -> np.ndarray:
        seeds = [int(hashlib.sha256(word.encode()).hexdigest()[:8], 16) for word in chosen]
        return np.array([np.random.default_rng(seed).normal(size=64) for seed in seeds], np.float32)

    monkeypatch.setattr(words, "_lists", lambda: lists)
    monkeypatch.setattr(words, "distil", vectors)
    monkeypatch.setattr(words, "N_DIMENSIONS", 64)
    monkeypatch.setattr(fold, "make", lambda: table)
    monkeypatch.setattr(guess, "STEPS", 10)
    monkeypatch.setattr(calibrate, "SIMULATIONS", 50)
    monkeypatch.setattr(contest, "SAMPLES", 1000)


@pytest.fixture(scope="module")
def small_words(table: Fold) -> Iterator[None]:
    """The small vocabulary for a module."""
    with pytest.MonkeyPatch.context() as patch:
        shrink_words(patch, table)
        yield


PLOTS = {
    "loan_upfront_fee": "loan approved processing fee insurance deposit lender vanished instalment",
    "parcel_case": "parcel customs drugs police officer warrant statement video call",
    "online_lover": "dating lover flight ticket hospital widow photos marriage gift",
    "consumer_dispute": "shoes refund shop warranty broken receipt manager complaint",
    "deepfake_call": "cloned face boss meeting screen wire transfer lips voice synthetic",
}
FILLER = "the a they then me my said told later after and with on at money paid they gone phone".split()  # noqa: SIM905


def stories(plot: str, n: int, seed: int = 0) -> list[str]:
    """Made-up reports of one plot, no two alike."""
    chance = random.Random(f"{plot}{seed}")
    keys = PLOTS[plot].split()
    return [
        " ".join(
            word
            for _ in range(6)
            for word in (chance.choice(FILLER), chance.choice(keys), str(chance.randint(10, 9999)))
        )
        for _ in range(n)
    ]
