"""`python -m service relabel` on files: plan, run, resume, and what is said."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from multiprocessing import current_process
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

import model
from benchmarks.prove_relabel import workers
from model import ModelError
from model.kernel import Fold
from model.taxonomy import Taxonomy
from service import crew, processes, relabel
from service.__main__ import cli
from service.arrow import Columns
from service.crew import Job, Progress, Stopped
from service.files import Options
from service.labels import RelabelError
from tests.conftest import SMALL, save_small
from training import fit

TEXTS = [text for known in SMALL.values() for text in known]
LABELS = ["fake_loan"] * 4 + ["romance"] * 4 + ["not_fraud"] * 4


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, fitted: fit.Fitted, tree: Taxonomy, table: Fold) -> Path:
    return save_small(tmp_path_factory.mktemp("model") / "small", fitted, tree, table)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with a Parquet file, a CSV, a bad file and something else."""
    folder = tmp_path / "in"
    folder.mkdir()
    rows = {"id": [f"p{i}" for i in range(12)], "text": TEXTS, "was": LABELS}
    pq.write_table(pa.table(rows), folder / "a.parquet")
    with (folder / "b.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "text", "was"), *zip(range(12), TEXTS, LABELS, strict=True)])
    (folder / "c.parquet").write_bytes(b"PAR1 nothing")
    (folder / "notes.txt").write_text("nothing")
    return folder


def command(models: Path, *words: object, code: int = 0) -> Result:
    """Runs the command in this process; it must end with this exit code."""
    variables: dict[str, str | None] = {n: None for n in os.environ if n.startswith("RUSE_")}
    done = CliRunner().invoke(
        cli, ["relabel", *map(str, words)], env=variables | {"RUSE_MODELS": str(models)}
    )
    assert done.exit_code == code, done.stderr
    return done


NAMED = ("--id-column", "id", "--label-column", "was", "--workers", 1)


def test_a_folder_is_relabelled_and_a_bad_file_mended(source: Path, models: Path, tmp_path: Path) -> None:
    """Good files come out whole, the bad one is told of with exit code 1; mended, it alone is done."""
    target = tmp_path / "out"
    done = command(models, source, target, *NAMED, "--interval", 0, code=1)
    assert "file_bad: c.parquet: it is no Parquet" in done.stderr
    assert "24 rows" in done.stderr
    assert re.search(r'"rows_per_second":\d+', done.stderr), "a line of the log"
    report = json.loads((target / "_ruse" / "report.json").read_text())
    assert (report["rows"], report["compared"], report["changed"]) == (24, 24, 8)
    assert report["bad_files"] == {"c.parquet": "it is no Parquet, or was not written to its end"}
    assert {f["old"]: f["new"] for f in report["flow"]}["romance"] == "law_enforcement_impersonation"
    assert "8 of 24 rows" in (target / "_ruse" / "report.html").read_text("utf-8")
    found = pq.read_table(target / "part-00000-00000.parquet")
    said = model.load(models).classify(TEXTS)
    assert found["scheme"].to_pylist() == [prediction.scheme for prediction in said]
    assert (target / "part-00001-00000.csv").exists()

    before = {path.name: path.stat().st_mtime_ns for path in target.glob("part*")}
    pq.write_table(pa.table({"id": ["c0"], "text": TEXTS[:1], "was": ["romance"]}), source / "c.parquet")
    done = command(models, source, target, *NAMED)
    after = {path.name: path.stat().st_mtime_ns for path in target.glob("part*")}
    assert set(after) - set(before) == {"part-00002-00000.parquet"}
    assert {name: after[name] for name in before} == before, "what was done was not done again"
    assert "25 rows" in done.stderr

    said = command(models, source, target, *NAMED, "--chunk", 5, code=2).stderr
    assert said.startswith("job_differs: ")
    assert "options chunk 65536 and not 5" in said
    os.utime(source / "a.parquet", ns=(1, 1))
    assert command(models, source, target, *NAMED, code=2).stderr.startswith("input_changed: ")


def test_a_dry_run_writes_nothing(source: Path, models: Path, tmp_path: Path) -> None:
    """--dry-run says on a sample what would change, of how many rows, and in what time."""
    done = command(models, source, "--dry-run", "--sample", 8, *NAMED, "--with-text")
    report = json.loads(done.stdout)
    assert report["rows"] == 8
    assert 15 < report["rows_expected"] < 40
    assert report["seconds_expected"] >= 0
    assert report["bad_files"]
    assert report["surest_changes"] == []
    assert "about" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]
    rows = json.loads(command(models, source / "a.parquet", "--dry-run", *NAMED[2:], "--with-text").stdout)
    assert rows["surest_changes"][0]["id"].startswith("a.parquet:")
    assert rows["surest_changes"][0]["text"] in TEXTS


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["in", "out", "--text-column", "words"], "column_missing"),
        (["in", "out", "--id-column", "category"], "column_missing"),
        (["in/nothing", "out"], "source_missing"),
        (["in/notes.txt", "out"], "source_unusable"),
        (["in/c.parquet", "out"], "source_unusable"),
        (["in", "in/out"], "target_inside"),
        (["in", "in/a.parquet"], "target_inside"),
        (["in"], "target_missing"),
        (["in", "out", "--crosswalk", "theirs"], "crosswalk_unknown"),
        (["in", "out", "--delimiter", "||"], "delimiter_invalid"),
        (["in", "out", "--engine", "dask"], "engine_unknown"),
        (["in", "--dry-run", "--engine", "spark"], "engine_unusable"),
        (["taken", "out"], "column_taken"),
    ],
)
def test_what_cannot_be_done_is_refused_first(
    words: list[str], code: str, source: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that cannot work is refused with a code and what to do, before anything is written."""
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "a.csv").write_text("text,model\nx,y\n")
    monkeypatch.chdir(tmp_path)
    assert command(models, *words, code=2).stderr.startswith(f"{code}: ")
    assert not (tmp_path / "out").exists()


def test_a_stopped_job_goes_on_and_equals_one_that_was_not(
    source: Path, models: Path, tmp_path: Path
) -> None:
    """Stopped after its first part, a job leaves whole parts; the same job again completes them."""
    options = Options(Columns(id="id", label="was"), chunk=4)
    target = tmp_path / "out"
    job = Job(source / "b.csv", target, models, options)
    seen: list[int] = []

    def note(progress: Progress) -> None:
        seen.append(progress.parts)

    with pytest.raises(Stopped):
        relabel.run(job, note, lambda: not seen)
    assert len(list(target.glob("part-*"))) == 1
    assert not list(target.glob(".part-*"))
    report = relabel.run(job)
    whole = relabel.run(Job(source / "b.csv", tmp_path / "whole", models, options))
    assert report == whole
    for path in (tmp_path / "whole").glob("part-*"):
        assert path.read_bytes() == (target / path.name).read_bytes()
    assert not workers(os.getpid()), "no worker outlives its job"


def test_a_crew_ends_with_work_that_no_process_has_taken(
    source: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closed right after a chunk was handed in, a crew leaves no thread that ends with an error."""
    ended: list[object] = []
    monkeypatch.setattr(threading, "excepthook", ended.append)
    usual = sys.getswitchinterval()
    for _ in range(8):
        hired = crew.Crew(Job(source / "b.csv", tmp_path / "out", models, workers=1))
        hired._pool.submit(time.sleep, 0).result()
        hired._pool.submit(time.sleep, 60)
        time.sleep(0.1)
        try:
            sys.setswitchinterval(1)  # so that the pool's thread does not come to it before the end
            hired._pool.submit(time.sleep, 60)
            hired.close()
        finally:
            sys.setswitchinterval(usual)
    processes.end()
    assert not ended


def test_workers_that_die_again_and_again(
    source: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where every worker dies, the job gives up and says what may help."""
    monkeypatch.setattr(crew, "MOST_DEATHS", 1)

    ended = threading.Event()

    def kill() -> None:
        while not ended.wait(0.02):
            for pid in workers(os.getpid()):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(RelabelError, match="--workers") as caught:
            relabel.run(Job(source / "a.parquet", tmp_path / "out", models))
    finally:
        ended.set()
        killer.join()
    assert caught.value.code == "workers_died"


def server() -> int:
    """The server of this process's workers, once the system shows it."""
    while not (there := workers(os.getpid())):
        time.sleep(0.001)
    return there[0]


def test_a_server_that_is_killed_is_begun_again(
    source: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the server of the workers is killed before it has forked one, the job goes on with another."""
    usual = processes.begin
    killed: list[int] = []

    def begin() -> None:
        usual()
        if len(killed) < 2:
            killed.append(server())
            os.kill(killed[-1], signal.SIGKILL)

    monkeypatch.setattr(processes, "begin", begin)
    report = relabel.run(Job(source / "a.parquet", tmp_path / "out", models))
    assert len(killed) == 2
    assert report["rows"] == 12
    assert not workers(os.getpid()), "nor does a server outlive it"


def test_the_server_of_the_workers_does_not_hear_of_ctrl_c() -> None:
    """Ctrl-C in a terminal reaches the server while it imports, which must not tell of it."""
    processes.begin()
    blocked = re.search(r"^SigBlk:\s*(\w+)", Path(f"/proc/{server()}/status").read_text(), re.MULTILINE)
    processes.end()
    assert blocked
    assert int(blocked[1], 16) >> (signal.SIGINT - 1) & 1
    assert not workers(os.getpid())


def test_a_command_that_is_asked_to_end_tidies_up(source: Path, tmp_path: Path) -> None:
    """SIGTERM ends a command as Ctrl-C does, and nothing of it is left among the temporary files."""
    for at in range(200):
        shutil.copy(source / "b.csv", source / f"b{at}.csv")
    (tmp_path / "tmp").mkdir()
    with Path(tmp_path / "said").open("wb") as said:
        command = subprocess.Popen(
            [sys.executable, "-m", "service", "relabel", source, tmp_path / "out", "--workers", "2"],
            env=os.environ | {"TMPDIR": str(tmp_path / "tmp")}, stderr=said,
        )  # fmt: skip
        while not list((tmp_path / "out").glob("part-*")):
            assert command.poll() is None
            time.sleep(0.01)
        command.terminate()
        assert command.wait() == 130
    assert "same command goes on" in (tmp_path / "said").read_text()
    assert not list((tmp_path / "tmp").iterdir())


def test_no_folder_for_temporary_files(
    source: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where worker processes cannot be reached, the job says why and what to do."""
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setitem(current_process()._config, "tempdir", str(deep))  # type: ignore[attr-defined]
    with pytest.raises(RelabelError, match="TMPDIR") as caught:
        relabel.run(Job(source / "a.parquet", tmp_path / "out", models))
    assert caught.value.code == "workers_unusable"


def test_a_model_that_cannot_be_read_leaves_no_target(source: Path, models: Path, tmp_path: Path) -> None:
    """Where a worker cannot read the model, the job says why and nothing lies in the target."""
    broken = shutil.copytree(models, tmp_path / "broken")
    (broken / "arrays.npz").write_bytes(b"no arrays")
    with pytest.raises(ModelError, match="hash"):
        relabel.run(Job(source / "a.parquet", tmp_path / "out", broken))
    assert not (tmp_path / "out").exists()


def test_another_model_in_its_place_is_noticed(source: Path, models: Path, tmp_path: Path) -> None:
    """A worker that finds another model than the job began with refuses to answer."""
    job = Job(source / "a.parquet", tmp_path / "out", models)
    (file,), _ = relabel.plan(job, model.load(models).taxonomy)
    (chunk,) = crew.format_of(file).chunks(file, job.options)
    with pytest.raises(RelabelError) as caught:
        crew.do(chunk, job, "0" * 64, tmp_path / "part")
    assert caught.value.code == "model_changed"
    assert not (tmp_path / "part").exists()
