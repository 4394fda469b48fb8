"""macro-F1 before any of this was made faster: `python -m benchmarks.bench_before` writes the record.

Takes the kernel of the commit BEFORE out of this repository, gives its n-grams the norm of today, translates
the shipped model's hashes to those of that kernel, and scores the measured sets with it. Hashes are
translated by the texts that have them: where both kernels see as many n-grams in a text, they see the same
ones in turn.
"""

import datetime
import json
import os
import subprocess
import sys
import tempfile
from itertools import chain
from pathlib import Path

import numpy as np

from benchmarks import bench_kernel
from benchmarks.bench import BEFORE as RECORD
from model import artifact, kernel
from model.classifier import SHIPPED, load
from model.encoding import encode
from training import alter, corpora, cues, heldout, train, words

ROOT = Path(__file__).resolve().parents[1]
BEFORE = "8b0ade4"
# The norm counts n-grams that have a row since, by choice; it counted tokens.
_ADDED = "        add(space.rows, space.parts, m, tables.grams, gram_sum)\n"
PATCHES = {_ADDED: _ADDED + "        known = m\n", "np.sqrt(max(n, 1))": "np.sqrt(max(known, 1))"}
# Runs on the code of then, in a process of its own.
THEN = """
import sys
import numpy as np
from model import fold, kernel
from training import words
given = np.load(sys.argv[1], allow_pickle=True)
texts, known = given["texts"].tolist(), given["words"].tolist()
table = kernel.Fold(*fold.make())
named = np.empty(len(known), np.uint64)
kernel.name(*words.encode(known), table, named)
def translated(keys, ours, theirs):
    order = np.argsort(ours)
    at = np.minimum(np.searchsorted(ours[order], keys), ours.size - 1)
    there = ours[order][at] == keys
    return np.where(there, theirs[order][at], keys), there
word_keys, found_words = translated(given["word_keys"], given["named"], named)
none = np.empty((0, 0), np.int8)
logs, weights = given["word_log_frequencies"], given["word_weights"]
bare = kernel.Tables(kernel.index(np.empty(0, np.uint64), word_keys), none, none, logs, weights)
seen = words.emit(texts, table, bare)
here, there = (np.diff(ends, prepend=0) for ends in (given["key_ends"], seen.key_ends))
same = here == there
ours = given["keys"][np.repeat(same, here)]
theirs = seen.keys[np.repeat(same, there)]
gram_keys, found = translated(given["gram_keys"], ours, theirs)
tables = kernel.Tables(
    kernel.index(gram_keys, word_keys), given["gram_rows"], given["word_rows"], logs, weights
)
codes, offsets = words.encode(given["measured"].tolist())
scores = np.zeros((offsets.size - 1, given["bias"].size), np.float32)
statistics = np.zeros((offsets.size - 1, kernel.N_STATISTICS), np.int32)
scales = [given[name] for name in ("gram_scale", "word_scale", "bias")]
kernel.score(codes, offsets, table, tables, *scales, scores, statistics)
lengths = np.maximum(statistics[:, kernel.TOKENS], 1)
scores *= ((lengths / given["usual"]) ** given["sharpening"])[:, None]
np.savez(sys.argv[2], scores=scores, shares=[same.mean(), found.mean(), found_words.mean()])
"""


def main() -> None:
    """Measure and write."""
    classifier = load()
    tree = classifier.taxonomy
    own = corpora.read(corpora.listed()["own"], tree)
    sets = dict(bench_kernel.measured())
    measured = [e.text for examples in sets.values() for e in examples]
    texts = [e.text for e in own] + measured + [cue for cue, _ in cues.listed(tree, named=True)]
    known = classifier.manifest.trained_on["settings"]
    texts += chain.from_iterable(alter.copies(own, known["copies"], known["seed"], train.FEW))
    arrays = artifact.load(SHIPPED)[1]
    seen = words.emit(texts, classifier.fold, classifier.tables)
    chosen = words.choose([e.text for e in own], classifier.fold)[0]
    named = np.empty(len(chosen), np.uint64)
    kernel.name(*encode(chosen), classifier.fold, named)
    with tempfile.TemporaryDirectory() as folder:
        given, found, old = (Path(folder) / name for name in ("given.npz", "found.npz", "before"))
        np.savez(
            given, texts=np.array(texts, object), measured=np.array(measured, object),
            words=np.array(chosen, object), named=named, keys=seen.keys, key_ends=seen.key_ends,
            usual=kernel.USUAL_TOKENS, sharpening=classifier.manifest.sharpening, **arrays,
        )  # fmt: skip
        subprocess.run(["git", "-C", ROOT, "worktree", "add", "-q", "--detach", old, BEFORE], check=True)
        try:
            module = old / "model" / "kernel.py"
            code = module.read_text("utf-8")
            for before, after in PATCHES.items():
                assert before in code
                code = code.replace(before, after, 1)
            module.write_text(code, "utf-8")
            subprocess.run(
                [sys.executable, "-c", THEN, given, found], cwd=old,
                env=os.environ | {"PYTHONPATH": str(old)}, check=True,
            )  # fmt: skip
        finally:
            subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", old], check=True)
        with np.load(found) as result:
            scores, shares = result["scores"], result["shares"].round(4).tolist()
    answers = heldout.answers(scores[:, : len(tree.scheme_ids)], classifier.manifest.temperature, tree)
    macro_f1: dict[str, float] = {}
    record = {
        "command": "python -m benchmarks.bench_before",
        "date": datetime.date.today().isoformat(),
        "model": classifier.manifest.version,
        "shares": dict(
            zip(("texts seen alike", "n-grams translated", "words translated"), shares, strict=True)
        ),
        "macro_f1": macro_f1,
    }
    at = 0
    for name, examples in sets.items():
        said = [category for category, _ in answers[at : at + len(examples)]]
        at += len(examples)
        macro_f1[name] = round(bench_kernel.macro_f1(examples, said), 5)
    RECORD.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
