"""The texts of `make bench`: the own corpus multiplied, with 5 % of the characters of each copy changed."""

import random
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from model import taxonomy
from model.encoding import encode
from training import corpora
from training.corpora import Example

SEED = 1
CHANGED = 0.05  # share of the characters of each copy


@cache
def own() -> dict[str, list[Example]]:
    """The examples of our own corpus by language."""
    chosen = [corpus for corpus in corpora.listed().values() if corpus.use == "fit"]
    examples = corpora.fit_examples(chosen, taxonomy.load())
    return {name: [e for e in examples if e.language == name] for name in ("zh", "en")}


def make(count: int) -> pa.Table:
    """So many reports, Chinese and English half and half, mixed; columns text, scheme, category, batch.

    A changed character becomes one that is drawn from all texts of its language.
    """
    chance = np.random.default_rng(SEED)
    texts: list[str] = []
    chosen: list[Example] = []
    for examples, n in zip(own().values(), (count - count // 2, count // 2), strict=True):
        order = np.concatenate(
            [chance.permutation(len(examples)) for _ in range(-(-n // max(len(examples), 1)))]
        )
        some = [examples[at] for at in order[:n]]
        codes, offsets = encode([example.text for example in some])
        pool, _ = encode([example.text for example in examples])
        changed = codes.copy()
        at = np.flatnonzero(chance.random(codes.size) < CHANGED)
        changed[at] = pool[chance.integers(pool.size, size=at.size)]
        whole = changed.tobytes().decode("utf-32-le")
        texts += [whole[a:b] for a, b in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)]
        chosen += some
    order = random.Random(SEED).sample(range(count), count)
    columns = {"text": [texts[at] or " " for at in order]} | {
        name: [getattr(chosen[at], name) for at in order] for name in ("scheme", "category", "batch")
    }
    schema = pa.schema([("text", pa.large_string()), *((n, pa.string()) for n in list(columns)[1:])])
    return pa.table(columns, schema).combine_chunks()


def write(path: Path, count: int) -> None:
    """Writes the texts to a file that other processes `read`."""
    table = make(count)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def read(path: Path, most: int | None = None) -> pa.Table:
    """The first texts of the file; all of them without `most`."""
    with pa.OSFile(str(path), "rb") as file:
        return pa.ipc.open_file(file).read_all().slice(0, most).combine_chunks()
