"""service.models: a promoted model takes over while requests go on, or is refused."""

import hashlib
import io
import json
import shutil
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher

import model
from model import artifact, fold, kernel, rules, single
from model.kernel import Fold
from service import history
from service.models import Models, start
from tests.databases import opened
from tests.serving import serving
from tests.test_app import assert_problem
from tests.test_serve import served
from training import fit

TEXT = "They said my loan was approved but I must pay a processing fee first."


class Shelf:
    """A folder of promoted models; each version answers with another bias."""

    def __init__(self, home: Path, fitted: fit.Fitted, tree: model.Taxonomy, table: Fold) -> None:
        self.home = home
        self._parts = fitted.tables() | fold.pack(table.targets, table.kinds)
        self._manifest = artifact.Manifest(
            version="1.0.0", taxonomy=tree.version, schemes=tree.scheme_ids, temperature=1.0,
            thresholds=dict.fromkeys(tree.category_ids, 0.5), scheme_threshold=0.5,
        )  # fmt: skip

    def make(self, release: str, golden: list[dict[str, Any]] | None = None, slant: int = 0) -> str:
        """Saves a model; `slant` favours one of its columns. Its folder's name."""
        arrays = self._parts | {"bias": self._parts["bias"].copy()}
        arrays["bias"][slant] += 30.0 * (slant > 0)
        manifest = replace(self._manifest, version=release, calibration={"golden": golden or []})
        artifact.save(self.home / release, manifest, arrays)
        return release

    def promote(self, name: str) -> None:
        """Makes a model the current one, as promotion does it: written beside, renamed."""
        (self.home / "current.new").write_text(name)
        (self.home / "current.new").rename(self.home / "current")


@pytest.fixture
def shelf(tmp_path: Path, fitted: fit.Fitted, tree: model.Taxonomy, table: Fold) -> Shelf:
    """Two models, the first promoted."""
    shelf = Shelf(tmp_path / "models", fitted, tree, table)
    shelf.make("1.0.0")
    shelf.make("2.0.0", slant=40)
    shelf.promote("1.0.0")
    return shelf


@pytest.fixture
def client(shelf: Shelf) -> Iterator[httpx.Client]:
    with serving(model.load(shelf.home), models=shelf.home, model_poll=600) as client:
        yield client


def test_a_reload_swaps(client: httpx.Client, shelf: Shelf) -> None:
    """After a reload the promoted model answers and is named; a second reload changes nothing."""
    before = client.post("/v1/classify", json={"text": TEXT}).json()["model"]
    shelf.promote("2.0.0")
    after = model.load(shelf.home).manifest.version
    assert client.post("/v1/model/reload").json() == {"before": before, "after": after}
    assert client.post("/v1/classify", json={"text": TEXT}).json()["model"] == after
    assert client.get("/v1/model").json()["version"] == after
    assert client.post("/v1/model/reload").json() == {"before": after, "after": after}
    metrics = client.get("/metrics").text
    assert f'ruse_model{{version="{after}"}} 1.0' in metrics
    assert f'ruse_model{{version="{before}"}} 0.0' in metrics


def test_a_promotion_is_noticed(shelf: Shelf) -> None:
    """Without any request for it the promoted model answers soon."""
    with serving(model.load(shelf.home), models=shelf.home, model_poll=0.1) as client:
        shelf.promote("2.0.0")
        wanted = model.load(shelf.home).manifest.version
        for _ in range(200):
            if client.post("/v1/classify", json={"text": TEXT}).json()["model"] == wanted:
                return
            threading.Event().wait(0.02)
        pytest.fail("the promoted model does not answer")


def test_golden_texts_are_checked(shelf: Shelf) -> None:
    """A model that answers its golden texts as its manifest says is taken, otherwise refused."""
    models = Models(model.load(shelf.home), shelf.home)
    answer = models.current.classify([TEXT])[0]
    golden = {"text": TEXT, "category": answer.category, "probability": answer.category_probability}
    shelf.promote(shelf.make("3.0.0", [golden]))
    assert models.reload()[1].startswith("3.0.0")
    kept = models.current
    for name, entry in (
        ("4.0.0", golden | {"category": "romance"}),
        ("5.0.0", golden | {"probability": 0.123}),
        ("6.0.0", {"kestrel": TEXT}),
    ):
        shelf.promote(shelf.make(name, [entry]))
        with pytest.raises(model.ArtifactError, match="golden") as caught:
            models.reload()
        assert TEXT not in str(caught.value)
        assert models.current is kept


def test_no_request_fails_or_mixes_versions_during_swaps(client: httpx.Client, shelf: Shelf) -> None:
    """Under load, promotions to and fro: every answer is whole and of one version."""
    texts = [TEXT, "快递员说我寄的包裹里有违禁品"] * 20
    known = {
        release: [said.category for said in model.load(shelf.home / release).classify(texts)]
        for release in ("1.0.0", "2.0.0")
    }
    assert known["1.0.0"] != known["2.0.0"]
    stop, seen, failures = threading.Event(), Counter[str](), []

    def load() -> None:
        with httpx.Client(base_url=client.base_url, trust_env=False, timeout=30) as mine:
            while not stop.is_set():
                answer = mine.post("/v1/classify/batch", json={"texts": texts})
                said = answer.json()
                release = said.get("model", "").split("-")[0]
                versions = {p["model"] for p in said.get("predictions", ())} | {said.get("model")}
                categories = [p["category"] for p in said.get("predictions", ())]
                if answer.status_code != 200 or len(versions) != 1 or categories != known[release]:
                    failures.append(answer.status_code)
                seen[release] += 1

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for turn in range(12):
        shelf.promote(("2.0.0", "1.0.0")[turn % 2])
        assert client.post("/v1/model/reload").status_code == 200
        stop.wait(0.1)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert min(seen["1.0.0"], seen["2.0.0"]) > 0


def rewrite(folder: Path, change: Callable[[dict[str, bytes]], None], keep_hash: bool = False) -> None:
    """Changes the members of the arrays file, and the hash in the manifest unless it is kept."""
    path = folder / artifact.ARRAYS
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    if not keep_hash:
        manifest = json.loads((folder / artifact.MANIFEST).read_text())
        manifest["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        (folder / artifact.MANIFEST).write_text(json.dumps(manifest))


def npy(array: np.ndarray, pickled: bool = False) -> bytes:
    """An array as numpy writes it."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=pickled)
    return stream.getvalue()


def floats(value: float, name: str = "bias") -> Callable[[Path], None]:
    """Puts a number into every place of an array."""

    def change(members: dict[str, bytes]) -> None:
        old = np.lib.format.read_array(io.BytesIO(members[f"{name}.npy"]))
        members[f"{name}.npy"] = npy(np.full_like(old, value))

    return lambda folder: rewrite(folder, change)


class Bomb:
    """Would make a file if it were ever unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("ruse-bomb"),)


def zip_bomb(folder: Path) -> None:
    """Compresses the arrays, one of them a gigabyte of zeros by its header."""
    path = folder / artifact.ARRAYS
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data if name != "bias.npy" else b"\0" * 80_000_000)
    rewrite_hash(folder)


def rewrite_hash(folder: Path) -> None:
    """Makes the manifest name the hash that the arrays have now."""
    manifest = json.loads((folder / artifact.MANIFEST).read_text())
    manifest["sha256"] = hashlib.sha256((folder / artifact.ARRAYS).read_bytes()).hexdigest()
    (folder / artifact.MANIFEST).write_text(json.dumps(manifest))


def manifest_with(**fields: Any) -> Callable[[Path], None]:
    """Changes fields of the manifest; None removes one."""

    def change(folder: Path) -> None:
        manifest = json.loads((folder / artifact.MANIFEST).read_text()) | fields
        kept = {name: value for name, value in manifest.items() if value is not None}
        (folder / artifact.MANIFEST).write_text(json.dumps(kept))

    return change


def pointing(name: str) -> Callable[[Path], None]:
    """Makes `current` name something else."""
    return lambda folder: (folder.parent / "current").write_text(name) and None


BAD: dict[str, Callable[[Path], Any]] = {
    "a pickle inside": lambda f: rewrite(
        f, lambda m: m.update({"bias.npy": npy(np.array([Bomb()], object), True)})
    ),
    "a pickle instead": lambda f: (f / artifact.ARRAYS).write_bytes(b"\x80\x04cos\nsystem\n."),
    "a zip bomb": zip_bomb,
    "a path that climbs": lambda f: rewrite(f, lambda m: m.update({"../../evil.npy": b"evil"})),
    "an array too many": lambda f: rewrite(f, lambda m: m.update({"extra.npy": m["bias.npy"]})),
    "an array too few": lambda f: rewrite(f, lambda m: m.pop("bias.npy") and None),
    "NaN": floats(float("nan")),
    "infinity": floats(float("inf")),
    "weights that overflow": floats(3e38, "word_scale"),
    "a wrong shape": lambda f: rewrite(f, lambda m: m.update({"bias.npy": npy(np.zeros(3, np.float32))})),
    "a wrong type": lambda f: rewrite(f, lambda m: m.update({"bias.npy": npy(np.zeros(64, np.float64))})),
    "two dimensions": lambda f: rewrite(
        f, lambda m: m.update({"bias.npy": npy(np.zeros((64, 1), np.float32))})
    ),
    "a changed byte": lambda f: rewrite(
        f, lambda m: m.update({"word_weights.npy": m["word_weights.npy"][:-1] + b"\xff"}), True
    ),
    "the arrays of another": lambda f: shutil.copy(f.parent / "2.0.0" / artifact.ARRAYS, f),
    "a newer format": manifest_with(format=artifact.FORMAT + 1),
    "no format": manifest_with(format=None),
    "a field too many": manifest_with(evil="kestrel"),
    "a temperature of zero": manifest_with(temperature=0),
    "a calibration that is none": manifest_with(calibration=["kestrel"]),
    "candidates that are none": manifest_with(calibration={"candidates": {"kestrel": 0.5}}),
    "golden texts that are none": manifest_with(calibration={"golden": "kestrel"}),
    "a golden probability that is none": manifest_with(
        calibration={"golden": [{"text": TEXT, "category": "fake_loan", "probability": float("nan")}]}
    ),
    "other schemes": manifest_with(schemes=["evil"]),
    "a manifest that is none": lambda f: (f / artifact.MANIFEST).write_bytes(b"\xff[[[["),
    "a manifest so deep": lambda f: (f / artifact.MANIFEST).write_bytes(b"[" * 200_000),
    "half a file": lambda f: (f / artifact.ARRAYS).write_bytes((f / artifact.ARRAYS).read_bytes()[:9_999]),
    "no file": lambda f: (f / artifact.ARRAYS).unlink(),
    "current climbs": pointing("../models/2.0.0"),
    "current is absolute": pointing("/etc"),
    "current names nothing": pointing(""),
    "current names what is not there": pointing("9.9.9"),
    "current is a folder": lambda f: (f.parent / "current").unlink() or (f.parent / "current").mkdir(),
    "current is no text": lambda f: (f.parent / "current").write_bytes(b"\xff\xfe\0"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_model_is_refused_and_the_old_one_stays(shelf: Shelf, name: str) -> None:
    """Whatever is wrong with a promoted model, nothing of it runs, the error is ours, others answer."""
    models = Models(model.load(shelf.home), shelf.home)
    kept = models.current
    shelf.make("3.0.0")
    shelf.promote("3.0.0")
    BAD[name](shelf.home / "3.0.0")
    with pytest.raises(model.ModelError) as caught:
        models.reload()
    assert str(caught.value)
    assert models.current is kept
    assert models.refused
    assert start(shelf.home, list).refused
    assert not Path("ruse-bomb").exists()
    assert not list(shelf.home.parent.glob("evil*"))


def test_a_refused_model_is_a_problem_and_does_not_end_the_service(
    client: httpx.Client, shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    """A bad promotion is answered 409 and logged; the old model goes on and a good one still comes."""
    before = client.get("/v1/model").json()["version"]
    (shelf.home / "2.0.0" / artifact.ARRAYS).write_bytes(b"broken")
    shelf.promote("2.0.0")
    assert_problem(client.post("/v1/model/reload"), 409, "model_refused")
    assert "model_refused" in caplog.text
    assert client.post("/v1/classify", json={"text": TEXT}).json()["model"] == before
    shelf.promote(shelf.make("3.0.0"))
    assert client.post("/v1/model/reload").json()["after"].startswith("3.0.0")


def test_the_warm_up_covers_all_that_is_compiled(fitted: fit.Fitted, small_model: Path) -> None:
    """After the warm-up no request waits for a compiler: all kernels of a prediction are ready."""
    models = Models(model.load(small_model))
    models.warm_up()
    ready = {name: len(part.signatures) for name, part in compiled()}
    models.current.classify([TEXT])
    models.current.category_probabilities([TEXT])
    models.current.candidates([TEXT])
    models.current.explain(TEXT).strongest()
    assert {name: len(part.signatures) for name, part in compiled()} == ready


def compiled() -> Iterator[tuple[str, Dispatcher]]:
    """The compiled functions of an answer."""
    for module in (kernel, rules, single):
        for name, part in vars(module).items():
            if isinstance(part, Dispatcher):
                yield f"{module.__name__}.{name}", part


def test_a_start_falls_back_to_what_was_good(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    """With a broken promoted model the latest past version that is whole answers, else the shipped one."""
    one, two = (model.load(shelf.home / name).manifest.version for name in ("1.0.0", "2.0.0"))
    whole = start(shelf.home, lambda: pytest.fail("the past is not asked for"))
    assert (whole.current.manifest.version, whole.refused) == (one, False)
    shelf.promote(shelf.make("3.0.0", [{"text": TEXT, "category": "kestrel"}]))
    for past, expected in (
        ([two, one], two),
        (["0.9.0-gone", one], one),
        (["0.9.0-gone"], model.load().manifest.version),
        ([], model.load().manifest.version),
    ):
        caplog.clear()
        models = start(shelf.home, lambda past=past: past)
        assert (models.current.manifest.version, models.refused) == (expected, True)
        assert "model_refused: the model answers 1 of its 1 golden texts otherwise" in caplog.text
        assert f"model {expected} answers" in caplog.text
        assert not models.has_changed()
    (shelf.home / "2.0.0" / artifact.ARRAYS).write_bytes(b"broken")
    assert start(shelf.home, lambda: [two, one]).current.manifest.version == one


def test_a_folder_without_a_model_is_a_wrong_setting(tmp_path: Path) -> None:
    """Where no model was ever promoted the start is refused and the folder named."""
    with pytest.raises(model.ArtifactError, match=str(tmp_path)):
        start(tmp_path, list)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_audit_remembers_what_has_answered(tmp_path: Path, kind: str) -> None:
    """Versions come latest first, each once; the same one again, as by another worker, is not noted."""
    with opened(kind, tmp_path) as database:
        for version in ("a", "a", "b", "a", "c", "c"):
            history.note(database, "start", version)
        assert history.versions(database) == ["c", "a", "b"]


def test_a_service_starts_on_the_last_good_model(shelf: Shelf, tmp_path: Path) -> None:
    """A process whose promoted model is broken answers with the last good one, tells, and takes a new one."""
    good, text = model.load(shelf.home / "2.0.0").manifest.version, {"text": TEXT}
    shelf.promote("2.0.0")
    settings = {"RUSE_MODELS": str(shelf.home), "RUSE_MODEL_POLL": "0.1"}
    with served(tmp_path / "log", **settings) as it:
        assert it.client.post("/v1/classify", json=text).json()["model"] == good
        shelf.make("3.0.0")
        (shelf.home / "3.0.0" / artifact.ARRAYS).write_bytes(b"broken")
        shelf.promote("3.0.0")
        wait(lambda: it.client.get("/health/ready").json()["model_refused"])
    with served(tmp_path / "log", **settings) as it:
        assert it.client.get("/health/ready").json() == {
            "status": "ready", "model": good, "model_refused": True,
        }  # fmt: skip
        assert it.client.post("/v1/classify", json=text).json()["model"] == good
        assert "ruse_model_refused 1.0" in it.client.get("/metrics").text
        assert f"model {good} answers in its place" in it.log.read_text("utf-8")
        mended = shelf.make("3.0.0")
        wait(lambda: it.client.post("/v1/classify", json=text).json()["model"].startswith(mended))
        assert it.client.get("/health/ready").json()["model_refused"] is False
        assert "ruse_model_refused 0.0" in it.client.get("/metrics").text


def wait(condition: Callable[[], bool]) -> None:
    """Until it holds, ten seconds at most."""
    for _ in range(500):
        if condition():
            return
        threading.Event().wait(0.02)
    pytest.fail("that does not come")
