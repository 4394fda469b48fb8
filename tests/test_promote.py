"""Promotion: atomic, five versions kept, every decision noted; rollback in a running service."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import save_small

import model
from model import artifact
from model.kernel import Fold
from tests.serving import serving
from training import fit, promote
from training.promote import PromotionError

Maker = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path, fitted: fit.Fitted, tree: model.Taxonomy, table: Fold) -> Maker:
    """Makes a run with a model of its own, judged fit or not."""

    def run(release: str, fit_for_use: bool | None = True, damaged: bool = False) -> Path:
        folder = tmp_path / "runs" / release
        home = save_small(folder / promote.MODEL, fitted, tree, table)
        manifest, arrays = artifact.load(home)
        golden = [{"text": "They took a fee for the loan", "category": "romance"}] if damaged else []
        fresh = artifact.save(
            home, replace(manifest, version=release, calibration={"golden": golden}), arrays
        )
        (folder / promote.DECISION).unlink(missing_ok=True)
        if fit_for_use is not None:
            known = {"model": fresh.version, "promoted": fit_for_use, "reasons": ["worse in `romance`"]}
            (folder / promote.DECISION).write_text(json.dumps(known))
        return folder

    return run


def test_five_versions_are_kept(tmp_path: Path, make: Maker) -> None:
    """Each promotion is current at once and has its card; the sixth oldest goes, strange folders stay."""
    models = tmp_path / "models"
    (models / "notes").mkdir(parents=True)
    versions = []
    for turn in range(7):
        versions.append(promote.promote(make(f"{turn}.0.0"), models))
        assert model.load(models).manifest.version == versions[-1] == promote.current(models)
    here = {path.name for path in models.iterdir() if path.is_dir()}
    assert here == {*versions[-5:], "notes"}
    assert "not calibrated" in (models / versions[-1] / promote.CARD).read_text()
    assert [entry["version"] for entry in promote.history(models)] == versions


def test_what_was_not_judged_fit_needs_a_reason(tmp_path: Path, make: Maker) -> None:
    """A model judged worse, or not at all, is refused with the reason; a person's reason is noted."""
    models = tmp_path / "models"
    for fit_for_use, words in ((False, "worse in `romance`"), (None, "no decision")):
        with pytest.raises(PromotionError, match=words):
            promote.promote(make("1.0.0", fit_for_use), models)
    assert promote.current(models) is None
    version = promote.promote(make("1.0.0", False), models, because="the law changed")
    (entry,) = promote.history(models)
    assert (entry["version"], entry["because"]) == (version, "the law changed")
    assert entry["judged_fit"] is False
    assert entry["who"]


def test_a_decision_about_another_model_does_not_count(tmp_path: Path, make: Maker) -> None:
    """A decision holds for the version it names and for no other."""
    run, other = make("1.0.0"), make("2.0.0")
    (run / promote.DECISION).write_bytes((other / promote.DECISION).read_bytes())
    with pytest.raises(PromotionError):
        promote.promote(run, tmp_path / "models")


def test_a_model_that_fails_its_golden_texts_stays_out(tmp_path: Path, make: Maker) -> None:
    """Even with a reason a model is tried before it may answer."""
    with pytest.raises(model.ArtifactError, match="golden"):
        promote.promote(make("1.0.0", damaged=True), tmp_path / "models", because="I say so")
    assert promote.current(tmp_path / "models") is None


def test_rollback_goes_back_step_by_step(tmp_path: Path, make: Maker) -> None:
    """Two rollbacks lead to the version before the last two; with none left it is refused."""
    models = tmp_path / "models"
    one, two, three = (promote.promote(make(f"{k}.0.0"), models) for k in (1, 2, 3))
    assert promote.rollback(models) == (three, two)
    assert promote.rollback(models) == (two, one)
    with pytest.raises(PromotionError, match="no earlier"):
        promote.rollback(models)
    four = promote.promote(make("4.0.0"), models)
    assert promote.rollback(models) == (four, one)


def test_rollback_takes_effect_in_a_running_service(tmp_path: Path, make: Maker) -> None:
    """The command alone, in another process, changes what the service answers with."""
    models = tmp_path / "models"
    one, two = (promote.promote(make(f"{k}.0.0"), models) for k in (1, 2))
    with serving(model.load(models), models=models, model_poll=0.1) as client:
        assert client.get("/v1/model").json()["version"] == two
        command = [sys.executable, "-m", "training", "rollback", "--models", str(models)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        for _ in range(300):
            if client.get("/v1/model").json()["version"] == one:
                return
            threading.Event().wait(0.02)
        pytest.fail("the service does not go back")


def test_a_promotion_may_be_killed_at_any_moment(tmp_path: Path, make: Maker) -> None:
    """Killed anywhere on its way, it leaves a whole current model, and the same command completes it."""
    models = tmp_path / "models"
    first = promote.promote(make("1.0.0"), models)
    run = make("2.0.0")
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom training import promote\n"
        "promote.load(Path(sys.argv[1]) / 'model').classify(['a warm-up'])\n"
        "def killed_at(line):\n"
        "    left = [line]\n"
        "    def step(frame, event, argument):\n"
        "        if frame.f_code.co_filename == promote.__file__ and event == 'line':\n"
        "            left[0] -= 1\n"
        "            if left[0] == 0:\n"
        "                os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return step\n"
        "    sys.settrace(step)\n"
        "    promote.promote(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "    os._exit(0)\n"
        "for line in map(int, sys.argv[3:]):\n"
        "    child = os.fork() or killed_at(line)\n"
        "    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "    print((Path(sys.argv[2]) / 'current').read_text(), end='')\n"
    )
    points = [str(line) for line in range(30, 170, 10)]
    command = [sys.executable, "-c", script, str(run), str(models), *points]
    done = subprocess.run(
        command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, timeout=60, check=True
    )
    ends, named = done.stdout.split()[::2], done.stdout.split()[1::2]
    assert ends.count(str(-signal.SIGKILL)) > 5
    assert {first} < set(named) <= {first, model.load(run / promote.MODEL).manifest.version}
    version = promote.promote(run, models)
    assert model.load(models).manifest.version == version
    assert promote.rollback(models) == (version, first)
    assert not [name for name in os.listdir(models) if name.startswith((".new", ".old"))]
