"""Save and load a model: `manifest.json` and `arrays.npz`, both inert.

Nothing is pickled; a loaded file is data, checked against the manifest's hash, names, types, shapes
and ranges before any of it reaches the kernel, which has no bounds checks of its own.

The format number grows by one whenever a file written before can no longer be read as it was meant:
another hash, another fold, another meaning of a field. `load` refuses every number but its own.
"""

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from model import taxonomy
from model.errors import ArtifactError
from model.kernel import MOST_ROWS
from model.taxonomy import Taxonomy

FORMAT = 3
LIMIT = 64 * 1024 * 1024  # bytes of arrays that a file may hold
MANIFEST, ARRAYS, TAXONOMY, CURRENT = "manifest.json", "arrays.npz", "taxonomy.toml", "current"

# name -> (dtype, number of dimensions)
_SHAPES: dict[str, tuple[type, int]] = {
    "fold_sources": (np.uint32, 1),
    "fold_targets": (np.uint32, 1),
    "fold_starts": (np.uint32, 1),
    "fold_kinds": (np.uint8, 1),
    "gram_keys": (np.uint64, 1),
    "gram_rows": (np.int8, 2),
    "gram_scale": (np.float32, 1),
    "word_keys": (np.uint64, 1),
    "word_rows": (np.int8, 2),
    "word_scale": (np.float32, 1),
    "word_log_frequencies": (np.float32, 1),
    "word_weights": (np.uint8, 1),
    "bias": (np.float32, 1),
}


@dataclass(frozen=True)
class Manifest:
    """What a model says of itself; all of it JSON.

    `schemes` are the columns in order. `temperature` divides the scores, which grow with the tokens of a
    text to the power `sharpening`, see `kernel.sharper`; `lapse` is the share of probability that no score
    decides. `thresholds` are the least
    category probabilities at which an answer is given, by category; 2.0 means never.
    `scheme_threshold` is the least share of its category's probability at which a scheme is sure.
    """

    version: str
    taxonomy: str
    schemes: tuple[str, ...]
    temperature: float
    thresholds: Mapping[str, float]
    scheme_threshold: float
    sha256: str = ""
    format: int = FORMAT
    trained_on: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    sharpening: float = 0.0
    lapse: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """The manifest as JSON can hold it."""
        return asdict(self)


def save(folder: Path, manifest: Manifest, arrays: Mapping[str, np.ndarray]) -> Manifest:
    """Write a model whole or not at all; its version ends in a hash of what it answers with."""
    stream = io.BytesIO()
    np.savez(stream, **{name: arrays[name] for name in _SHAPES})  # type: ignore[arg-type]
    content = stream.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    known = asdict(manifest) | {"sha256": digest, "metrics": {}}
    release = manifest.version.split("-")[0]
    whole = hashlib.sha256(json.dumps(known | {"version": release}, sort_keys=True).encode())
    known |= {"version": f"{release}-{whole.hexdigest()[:10]}", "metrics": dict(manifest.metrics)}
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / ARRAYS, content)
    _write(folder / MANIFEST, (json.dumps(known, indent=1, ensure_ascii=False) + "\n").encode())
    return Manifest(**known)


def _write(path: Path, content: bytes) -> None:
    beside = path.with_name(path.name + ".new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def locate(folder: Path) -> Path:
    """The folder of one model: itself, or what `current` names in a folder of models."""
    if (folder / MANIFEST).is_file():
        return folder
    pointer = folder / CURRENT
    if not pointer.exists():
        raise ArtifactError(
            f"{folder}: neither {MANIFEST} nor a file {CURRENT!r} that names a model is here; "
            "give the folder of a model or of promoted models"
        )
    try:
        name = pointer.read_text("utf-8").strip()
    except ValueError as error:
        raise ArtifactError(f"{pointer}: is not UTF-8; it must name a folder beside it") from error
    except OSError as error:
        raise ArtifactError(f"{pointer}: cannot be read ({error.strerror})") from error
    if not name or name in (".", "..") or Path(name).name != name:
        raise ArtifactError(f"{pointer}: must hold the name of one folder beside it")
    if not (folder / name / MANIFEST).is_file():
        raise ArtifactError(f"{pointer}: names {name!r}, but there is no model in it")
    return folder / name


def load(folder: Path) -> tuple[Manifest, dict[str, np.ndarray]]:
    """Read a model; raises ArtifactError, with everything that can be wrong named."""
    manifest = read_manifest(folder)
    path = folder / ARRAYS
    try:
        if path.stat().st_size > LIMIT:
            raise ArtifactError(f"{path}: larger than {LIMIT} bytes; this is no model of Ruse")
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror}); copy the model again") from error
    if hashlib.sha256(content).hexdigest() != manifest.sha256:
        raise ArtifactError(f"{path}: does not have the hash that {MANIFEST} names; copy it again")
    arrays = _read_arrays(path, content)
    _check(path, manifest, arrays)
    return manifest, arrays


def read_manifest(folder: Path) -> Manifest:
    """What the model in the folder says of itself. Raises ArtifactError."""
    path = folder / MANIFEST
    try:
        if path.stat().st_size > LIMIT:
            raise ArtifactError(f"{path}: larger than {LIMIT} bytes; this is no model of Ruse")
        known = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: is not JSON in UTF-8; copy the model again") from error
    if not isinstance(known, dict) or known.get("format") != FORMAT:
        found = known.get("format") if isinstance(known, dict) else None
        raise ArtifactError(
            f"{path}: has format {str(found)[:20]}, this Ruse reads {FORMAT}; "
            "retrain, or use the Ruse that wrote it"
        )
    try:
        manifest = Manifest(**known | {"schemes": tuple(known["schemes"])})
        sound = (
            all(isinstance(x, str) for x in (manifest.version, manifest.taxonomy, manifest.sha256))
            and all(isinstance(x, str) for x in manifest.schemes)
            and 0 < len(manifest.schemes) <= 4096
            and np.isfinite(manifest.temperature)
            and manifest.temperature > 0
            and 0 <= manifest.sharpening <= 1
            and 0 <= manifest.lapse < 1
            and np.isfinite(manifest.scheme_threshold)
            and all(np.isfinite(x) for x in manifest.thresholds.values())
            and all(
                isinstance(x, Mapping) for x in (manifest.trained_on, manifest.calibration, manifest.metrics)
            )
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path}: lacks a field or has an unknown one; copy it again") from error
    if not sound:
        raise ArtifactError(f"{path}: a field has a value that no model of Ruse has")
    return manifest


def read_taxonomy(folder: Path) -> Taxonomy:
    """The taxonomy that lies with a model, else the shipped one. Raises TaxonomyError, ArtifactError."""
    try:
        own = folder / TAXONOMY
        return taxonomy.load(own if own.is_file() else None)
    except OSError as error:  # a folder that may not be entered
        raise ArtifactError(f"{folder}: cannot be read ({error.strerror})") from error


def _read_arrays(path: Path, content: bytes) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
    except (ValueError, zipfile.BadZipFile) as error:
        raise ArtifactError(f"{path}: is not an archive of arrays") from error
    if sorted(m.filename for m in members) != sorted(f"{name}.npy" for name in _SHAPES):
        raise ArtifactError(f"{path}: does not hold exactly the arrays of a model")
    if sum(m.file_size for m in members) > LIMIT or any(m.compress_type for m in members):
        raise ArtifactError(f"{path}: holds compressed or overlong arrays")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return {name: file[name] for name in _SHAPES}
    except (ValueError, OSError, EOFError, SyntaxError, zipfile.BadZipFile) as error:
        raise ArtifactError(f"{path}: holds something that is no plain array") from error


def _check(path: Path, manifest: Manifest, arrays: Mapping[str, np.ndarray]) -> None:
    faults = []
    for name, (dtype, dimensions) in _SHAPES.items():
        array = arrays[name]
        if array.dtype != dtype or array.ndim != dimensions:
            faults.append(f"{name} is {array.dtype} with {array.ndim} dimensions")
        elif array.dtype.kind == "f" and not np.isfinite(array).all():
            faults.append(f"{name} holds a NaN or an infinity")
    if not faults:
        columns = arrays["bias"].size
        grams, words = arrays["gram_keys"].size, arrays["word_keys"].size
        starts = arrays["fold_starts"].astype(np.int64)
        expected = {
            "gram_rows": (grams, columns),
            "gram_scale": (columns,),
            "word_scale": (columns,),
            "word_log_frequencies": (words,),
            "word_weights": (words,),
            "fold_targets": arrays["fold_sources"].shape,
            "fold_kinds": starts.shape,
        }
        heard = len(arrays["word_rows"])  # words of other languages, at the end, have none
        if arrays["word_rows"].shape != (heard, columns) or heard > words:
            faults.append(
                f"word_rows has shape {arrays['word_rows'].shape}, not ({words} at most, {columns})"
            )
        elif arrays["word_weights"][heard:].any():
            faults.append("word_weights gives a weight to a word without a row")
        faults += [
            f"{name} has shape {arrays[name].shape}, not {shape}"
            for name, shape in expected.items()
            if arrays[name].shape != shape
        ]
        if max(grams, words) > MOST_ROWS:
            faults.append(f"there are {max(grams, words)} rows in a table, more than {MOST_ROWS}")
        if columns % 16 or columns < len(manifest.schemes):
            faults.append(f"bias has {columns} columns for {len(manifest.schemes)} schemes")
        if starts.size == 0 or starts[0] != 0 or (np.diff(starts) <= 0).any() or starts[-1] >= 0x20000:
            faults.append("fold_starts does not cover the code points in order")
        if (arrays["fold_sources"] >= 0x20000).any() or (arrays["fold_targets"] > 0x10FFFF).any():
            faults.append("the fold names code points that do not exist")
        if (arrays["fold_kinds"] > 6).any():
            faults.append("fold_kinds holds an unknown kind")
    if faults:
        raise ArtifactError(f"{path}: {'; '.join(faults)}")
