"""What a model would have said of the rows it was fitted on, by fits that had not seen them.

Travels with the model, so that the next one can be compared with it on the same rows. Holds hashes of
texts, never a text.
"""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from model import artifact
from model.taxonomy import Taxonomy
from training import calibrate, collect
from training.corpora import Example

FILE = "heldout.npz"


def key(text: str) -> str:
    """Half of the key of a text, for the file counts as part of the model's size: of 20,000 texts another
    one meets a stranger's answer once in 200,000 times."""
    return collect.key(text)[:8]


def answers(scores: np.ndarray, temperature: float, taxonomy: Taxonomy) -> list[tuple[str, str]]:
    """(category, scheme under it) of scores float32 (n_examples, n_schemes)."""
    index = np.array(taxonomy.category_index)
    schemes = calibrate.softmax(scores, temperature)
    best = calibrate.roll_up(schemes, index, len(taxonomy.category_ids)).argmax(axis=1)
    scheme = np.where(index[None, :] == best[:, None], schemes, -1).argmax(axis=1)
    return [
        (taxonomy.category_ids[k], taxonomy.scheme_ids[s])
        for k, s in zip(best.tolist(), scheme.tolist(), strict=True)
    ]


def save(
    folder: Path,
    examples: Sequence[Example],
    scores: np.ndarray,
    manifest: artifact.Manifest,
    taxonomy: Taxonomy,
) -> None:
    """Write what scores float32 (n_examples, n_schemes) say, in the order of the keys."""
    column = {name: i for i, name in enumerate(taxonomy.scheme_ids)}
    said = answers(scores, manifest.temperature, taxonomy)
    scheme = np.array([column[name] for _, name in said])
    keys = np.array([int(key(e.text), 16) for e in examples], np.uint32)
    order = np.argsort(keys, kind="stable")
    stream = io.BytesIO()
    np.savez(stream, keys=keys[order], schemes=scheme[order].astype(np.uint16))
    beside = folder / f"{FILE}.new"
    beside.write_bytes(stream.getvalue())
    beside.replace(folder / FILE)


def load(folder: Path, taxonomy: Taxonomy) -> dict[str, tuple[str, str]]:
    """Answers by `key` of a text, (category, scheme); none where nothing stands beside the model."""
    path = folder / FILE
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as file:
        keys, schemes = file["keys"].tolist(), file["schemes"].tolist()
    names = [taxonomy.category_ids[at] for at in taxonomy.category_index]
    return {
        f"{number:08x}": (names[k], taxonomy.scheme_ids[k]) for number, k in zip(keys, schemes, strict=True)
    }  # fmt: skip
