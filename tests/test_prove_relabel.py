"""Short forms of benchmarks.prove_relabel, which `make prove-relabel` runs at full length."""

import json
from pathlib import Path

import pytest

from benchmarks import prove_relabel
from model.kernel import Fold
from model.taxonomy import Taxonomy
from service import relabel
from service.arrow import Columns
from service.crew import Job
from service.files import Options
from service.labels import RelabelError
from tests.conftest import SMALL, save_small
from training import fit

# Long ones, so that a job lasts long enough to be killed five times.
TEXTS = [" ".join([text] * 30) for known in SMALL.values() for text in known]
CHUNK = 1_250


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, fitted: fit.Fitted, tree: Taxonomy, table: Fold) -> Path:
    return save_small(tmp_path_factory.mktemp("model") / "small", fitted, tree, table)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("in") / "reports.parquet"
    return prove_relabel.make(path, 20_000, TEXTS, ("fake_loan", "romance"))


def test_kills_change_nothing(source: Path, models: Path, tmp_path: Path) -> None:
    """After five kills of workers, parent or both, every part and the report equal an undisturbed run's;
    and while a process works on a target, a second one is refused."""
    found = prove_relabel.kills(tmp_path, source, 5, CHUNK, RUSE_MODELS=str(models))
    assert sum(found["kills"].values()) == 5
    assert min(found["kills"].values()) > 0
    assert found["parts"] == 16
    assert (found["parts_that_differ"], found["rows_lost"], found["rows_doubled"]) == ([], 0, 0), found
    assert found["left_behind"] == 0
    assert found["second_parent"].startswith("target_locked: ")


def test_a_full_disk_midway(source: Path, models: Path, tmp_path: Path) -> None:
    """A disk that fills up ends the job with a clear error; with space again it goes on, and nothing
    of what was done before is done again."""
    options = Options(Columns(id="id", label="was"), CHUNK)
    target = tmp_path / "disk" / "out"
    job = Job(source, target, models, options, workers=2)
    try:
        with prove_relabel.small_disk(tmp_path / "disk", 1_000_000):
            ballast = tmp_path / "disk" / "ballast"
            ballast.write_bytes(bytes(550_000))
            with pytest.raises(RelabelError, match="no space left") as caught:
                relabel.run(job)
            assert caught.value.code == "target_full"
            # A part that there was no space to note, or whose note was cut off, is not done.
            notes = (target / "_ruse" / "chunks.jsonl").read_bytes().splitlines(keepends=True)
            noted = [json.loads(line)["part"] for line in notes if line.endswith(b"\n")]
            before = {name: (target / name).stat().st_mtime_ns for name in noted}
            assert 0 < len(before) < 16
            ballast.unlink()
            assert relabel.run(job)["rows"] == 20_000
            after = {path.name: path.stat().st_mtime_ns for path in target.glob("part-*")}
            assert len(after) == 16
            assert {name: after[name] for name in before} == before
    except PermissionError as error:
        pytest.skip(str(error))
