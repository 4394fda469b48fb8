"""The artifact: inert, whole, and checked before it is used."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model import artifact
from model.classifier import SHIPPED
from model.errors import ArtifactError


def reseal(folder: Path, content: bytes) -> None:
    """Write the arrays and the hash that fits them."""
    import hashlib

    (folder / "arrays.npz").write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def with_array(folder: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change one array and seal the file again."""
    with np.load(folder / "arrays.npz") as file:
        arrays = {key: file[key] for key in file.files}
    arrays[name] = change(arrays[name])
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    reseal(folder, stream.getvalue())


def test_saving_and_loading_changes_nothing(small_model: Path) -> None:
    """What is loaded is what was saved, and saving it again gives the same bytes and version."""
    manifest, arrays = artifact.load(small_model)
    again = artifact.save(small_model.parent / "again", manifest, arrays)
    assert again == manifest
    for name in ("arrays.npz", "manifest.json"):
        assert (small_model.parent / "again" / name).read_bytes() == (small_model / name).read_bytes()


def test_the_shipped_model_is_small() -> None:
    """The shipped artifact is at most 16 MB."""
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= 16_000_000


def test_a_changed_byte_is_noticed(small_model: Path) -> None:
    """A file that does not have the manifest's hash is refused."""
    content = bytearray((small_model / "arrays.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (small_model / "arrays.npz").write_bytes(content)
    with pytest.raises(ArtifactError, match="hash"):
        artifact.load(small_model)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("bias", lambda a: a * np.float32(np.nan), "NaN"),
        ("gram_scale", lambda a: a + np.float32(np.inf), "infinity"),
        ("gram_rows", lambda a: a[:-1], "shape"),
        ("word_rows", lambda a: a.astype(np.int16), "int16"),
        ("word_weights", lambda a: a[:, None], "dimensions"),
        ("fold_kinds", lambda a: a + np.uint8(200), "kind"),
        ("fold_targets", lambda a: a + np.uint32(0x200000), "code points"),
        ("bias", lambda a: a[:-3], "shape"),
    ],
)
def test_wrong_arrays_are_refused(
    small_model: Path, name: str, change: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    """Wrong values, types and shapes are found even where the hash fits."""
    with_array(small_model, name, change)
    with pytest.raises(ArtifactError, match=message):
        artifact.load(small_model)


class Bomb:
    """Would write a file if it were unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, ("unpickled", "w")


def test_a_pickle_inside_is_never_run(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An array of objects is refused and nothing of it runs."""
    monkeypatch.chdir(tmp_path)
    with_array(small_model, "bias", lambda a: np.array([Bomb()], dtype=object))
    with pytest.raises(ArtifactError):
        artifact.load(small_model)
    reseal(small_model, pickle.dumps(Bomb()))
    with pytest.raises(ArtifactError):
        artifact.load(small_model)
    assert not (tmp_path / "unpickled").exists()


def test_a_zip_bomb_is_refused(small_model: Path) -> None:
    """Compressed members are refused before they are unpacked."""
    stream = io.BytesIO()
    with zipfile.ZipFile(small_model / "arrays.npz") as old, zipfile.ZipFile(stream, "w") as new:
        for member in old.infolist():
            data = old.read(member) if member.filename != "bias.npy" else b"\0" * 10_000_000
            new.writestr(member.filename, data, zipfile.ZIP_DEFLATED)
    reseal(small_model, stream.getvalue())
    with pytest.raises(ArtifactError, match="compressed"):
        artifact.load(small_model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "format 99"),
        ({"temperature": 0}, "value"),
        ({"temperature": "hot"}, "field"),
        ({"sharpening": -1}, "value"),
        ({"sharpening": float("nan")}, "value"),
        ({"lapse": 1}, "value"),
        ({"lapse": -0.1}, "value"),
        ({"lapse": "no"}, "field"),
        ({"schemes": 5}, "field"),
        ({"surprise": 1}, "field"),
        ({"thresholds": {"x": float("nan")}}, "value"),
    ],
)
def test_a_wrong_manifest_is_refused(small_model: Path, change: dict[str, object], message: str) -> None:
    """Another format, unknown fields and impossible values are refused with the file's name."""
    path = small_model / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ArtifactError, match=message):
        artifact.load(small_model)


@pytest.mark.parametrize("name", ["arrays.npz", "manifest.json"])
def test_a_missing_file_is_named(small_model: Path, name: str) -> None:
    """A missing file is an ArtifactError that names it."""
    (small_model / name).unlink()
    with pytest.raises(ArtifactError, match=name):
        artifact.load(small_model)
