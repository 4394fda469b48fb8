"""Retraining: one command from rows to a promoted model, the same bytes each time, killed and gone on."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import stories

import model
from training import collect, fit, promote, retrain
from training.corpora import Corpus
from training.plan import Plan

KINDS = ("loan_upfront_fee", "parcel_case", "consumer_dispute")
STEPS = fit.Settings(steps=10)


def mine(folder: Path, n: int = 40, seed: int = 0) -> Plan:
    """A plan for a table of three labels."""
    path = folder / "mine.jsonl"
    rows = [{"text": text, "label": kind} for kind in KINDS for text in stories(kind, n, seed)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    corpus = Corpus("mine", path, "fit", "mine", "a test", label_column="label", crosswalk="own_labels")
    return Plan([corpus], folder / "work", folder / "models", flat=True, settings=STEPS)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, small_words: None) -> retrain.Outcome:
    """A first run; no test changes its folder."""
    return retrain.run(mine(tmp_path_factory.mktemp("first")))


@pytest.fixture
def promoted(first: retrain.Outcome, tmp_path: Path) -> Plan:
    """A plan in a folder of its own whose first run is promoted."""
    shutil.copytree(first.folder.parents[1], tmp_path, dirs_exist_ok=True)
    promote.promote(tmp_path / "work" / first.folder.name, tmp_path / "models")
    return mine(tmp_path)


def test_the_same_inputs_give_the_same_bytes(first: retrain.Outcome, tmp_path: Path) -> None:
    """Two runs in two places write byte-identical models, and the second of one place too."""
    two, again = (retrain.run(mine(tmp_path)).folder for _ in range(2))
    for name in ("arrays.npz", "manifest.json", "taxonomy.toml", "heldout.npz"):
        contents = {(folder / promote.MODEL / name).read_bytes() for folder in (first.folder, two, again)}
        assert len(contents) == 1, name


def test_a_run_leaves_everything_a_person_needs(tmp_path: Path, small_words: None) -> None:
    """Counts, faults, doubts, reports and a decision stand in its folder, and no report holds a text."""
    plan = mine(tmp_path)
    with plan.corpora[0].path.open("a") as file:
        file.write(json.dumps({"text": "kestrel song", "label": None}) + "\n")
    done = retrain.run(plan)
    assert done.promoted, done.reasons
    assert (done.folder / "faults.txt").read_text() == "mine.jsonl:121: has no label\n"
    report = json.loads((done.folder / "report.json").read_text())
    assert report["collected"][0]["rows"] == 120
    assert report["check"]["frozen"] == {"mine": 24}
    assert set(report["contest"]["sets"]) == {"mine, frozen", "held out of the fit"}
    assert report["contest"]["overall"]["challenger"]["macro_f1"]["value"] > 0.9
    for name in ("report.html", "report.json", "decision.json", "model-card.md", "quarantine.jsonl"):
        text = (done.folder / name).read_text()
        assert "kestrel" not in text
        assert not any(story in text for story in stories(KINDS[0], 5))
    assert (done.folder / "audit.html").stat().st_mode & 0o077 == 0


def test_a_worse_challenger_is_not_promoted(promoted: Plan, first: retrain.Outcome, tmp_path: Path) -> None:
    """A model fitted on shuffled labels is refused with the reasons, and the champion answers on."""
    path = promoted.corpora[0].path
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    frozen = set(json.loads((tmp_path / "models" / "frozen.json").read_text()))
    for at, row in enumerate(rows):
        if collect.key(row["text"]) not in frozen and at % 2:
            row["label"] = KINDS[(KINDS.index(row["label"]) + 1) % 3]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    second = retrain.run(promoted)
    assert not second.promoted
    assert any(reason.startswith("not worse: macro-F1 differs by -") for reason in second.reasons)
    with pytest.raises(promote.PromotionError, match="macro-F1"):
        promote.promote(second.folder, tmp_path / "models")
    assert model.load(tmp_path / "models").manifest.version == first.version


def test_an_equal_challenger_is_promoted(promoted: Plan, first: retrain.Outcome, tmp_path: Path) -> None:
    """With the same rows again the challenger is not worse, on rows that neither has seen."""
    before = json.loads((tmp_path / "models" / "frozen.json").read_text())
    second = retrain.run(replace(promoted, settings=fit.Settings(steps=11)))
    assert second.promoted, second.reasons
    assert second.version != first.version
    assert json.loads((tmp_path / "models" / "frozen.json").read_text()) == before
    report = json.loads((second.folder / "report.json").read_text())
    assert report["contest"]["champion"] == first.version
    assert report["contest"]["overall"]["difference"]["rows"] == 120


SCRIPT = """
import sys
from pathlib import Path
sys.path[:0] = ["tests", "."]
import conftest, pytest, test_retrain
from model import fold
from model.kernel import Fold
from training import retrain
with pytest.MonkeyPatch.context() as patch:
    conftest.shrink_words(patch, fold.make())
    retrain.run(test_retrain.mine(Path(sys.argv[1])))
"""


def test_a_killed_run_goes_on(first: retrain.Outcome, tmp_path: Path) -> None:
    """Killed while it scores its folds, a run keeps those that are done and ends with the same model."""
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    process = subprocess.Popen(command, cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("work/*/folds/fold-1.npy")) and time.monotonic() < deadline:
        time.sleep(0.005)
        assert process.poll() is None, "the run ended before it was killed"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    done = {path: path.stat().st_mtime_ns for path in tmp_path.glob("work/*/folds/fold-[01].npy")}
    assert len(done) == 2
    went_on = retrain.run(mine(tmp_path))
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert went_on.version == first.version
