"""Corpora: which there are, what may be done with each, and their examples.

A corpus marked `use = "measure"` can never enter a fit: `fit_examples` is the only door to one and
refuses it.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from model.taxonomy import Taxonomy
from training.tables import SUFFIXES

ROOT = Path(__file__).resolve().parent.parent
LISTED = Path(__file__).with_name("corpora.toml")
OWN = Path(__file__).with_name("corpus")


class CorpusError(ValueError):
    """A corpus cannot be used; `faults` names every fault with its file and line."""

    code = "corpus_unusable"

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


@dataclass(frozen=True, slots=True)
class Example:
    """A text with its true category, and its scheme where that is known.

    `second` is another category that a careful colleague could defend. `batch` names the hand that
    wrote it: a batch never straddles train and test.
    """

    id: str
    text: str
    category: str
    scheme: str | None = None
    second: str | None = None
    language: str = ""
    script: str = ""
    voice: str = ""
    batch: str = ""


@dataclass(frozen=True)
class Corpus:
    """One entry of `corpora.toml`."""

    name: str
    path: Path
    use: str
    licence: str
    origin: str
    language: str = ""
    sha256: str = ""
    label: str = ""  # only rows with this label are read, and all of them have `category`
    category: str = ""
    # How to read others' files. `crosswalk` is one of the taxonomy's; without a label column the
    # fields are "scheme" and "category". Rows of one group never stand on both sides of a split.
    text_column: str = "text"
    label_column: str = ""
    id_column: str = "id"
    group_column: str = "batch"
    source_column: str = "source"
    crosswalk: str = ""
    encoding: str = "utf-8-sig"
    reviews: bool = False  # decisions of reviewers, quarantined by rule before use

    @property
    def is_here(self) -> bool:
        """Whether its files are on this machine."""
        return self.path.exists()

    def files(self) -> list[Path]:
        """Its files in a fixed order."""
        if not self.path.is_dir():
            return [self.path]
        return sorted(path for path in self.path.iterdir() if path.suffix in SUFFIXES)


def listed(path: Path = LISTED) -> dict[str, Corpus]:
    """The corpora of a `corpora.toml`, by name. Raises CorpusError with all faults."""
    faults, found = [], {}
    try:
        entries = tomllib.loads(path.read_text("utf-8")).get("corpus", [])
    except ValueError as error:
        raise CorpusError([f"{path.name}: is not TOML in UTF-8: {error}"]) from error
    for entry in entries:
        name = entry.get("name", "?")
        missing = {"name", "path", "use", "licence", "origin"} - entry.keys()
        unknown = entry.keys() - set(Corpus.__dataclass_fields__)
        if missing or unknown or entry.get("use") not in ("fit", "measure"):
            faults.append(
                f"{path.name}: corpus {name!r}: missing {sorted(missing)}, unknown {sorted(unknown)}, "
                'use must be "fit" or "measure"'
            )
        elif name in found:
            faults.append(f"{path.name}: corpus {name!r} is listed twice")
        else:
            found[name] = Corpus(**entry | {"path": ROOT / entry["path"]})
    if faults:
        raise CorpusError(faults)
    return found


def digest(files: Iterable[Path]) -> str:
    """SHA-256 over names and bytes of files."""
    known = hashlib.sha256()
    for path in files:
        known.update(path.name.encode() + b"\0")
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                known.update(part)
    return known.hexdigest()


def refusals(corpora: Iterable[Corpus]) -> list[str]:
    """Why these corpora may not enter a fit; nothing where they may."""
    return [
        f"corpus {corpus.name!r} is for measuring only and can never enter a fit; "
        "take it out of the list or use another corpus"
        for corpus in corpora
        if corpus.use != "fit"
    ]


def fit_examples(corpora: Iterable[Corpus], taxonomy: Taxonomy) -> list[Example]:
    """The examples a model may be fitted on; refuses a corpus that is for measuring only."""
    corpora = list(corpora)
    if faults := refusals(corpora):
        raise CorpusError(faults)
    return [example for corpus in corpora for example in read(corpus, taxonomy)]


def read(corpus: Corpus, taxonomy: Taxonomy) -> list[Example]:
    """All examples of a corpus that must be spotless. Raises CorpusError with all faults.

    `training.collect` reads the same way and leaves out what is wrong.
    """
    from training import collect  # which knows this module

    rows, faults = collect.read(corpus, taxonomy)
    seen: dict[str, str] = {}
    for row in rows if corpus.use == "fit" else ():
        text = row.example.text
        if text in seen:
            faults.append(collect.Fault(row.where, "twice", f"the same text as {seen[text]}"))
        seen[text] = row.where
    if not faults and not rows:
        raise CorpusError([f"corpus {corpus.name!r}: holds no example"])
    if faults:
        raise CorpusError([str(fault) for fault in sorted(faults, key=collect.place)])
    return [row.example for row in rows]


def language_of(text: str) -> str:
    """`zh` where Chinese characters outweigh Latin words, else `en`."""
    return "zh" if len(re.findall(r"[一-鿿]", text)) > len(re.findall(r"[A-Za-z]+", text)) else "en"


def script_of(text: str) -> str:
    """`Hant`, `Hans` or `Latn`. Needs `opencc`."""
    import opencc

    if language_of(text) == "en":
        return "Latn"
    changed = opencc.OpenCC("t2s").convert(text)
    return "Hant" if sum(a != b for a, b in zip(text, changed, strict=False)) > 2 else "Hans"


def add(drafts: Sequence[Path], taxonomy: Taxonomy, folder: Path = OWN) -> int:
    """File drafts (`scheme|second or -|voice|text` a line, `\\n` for a line break) in the corpus.

    A draft's name is its batch; a batch that is there already is replaced. Texts that stand in the
    corpus already are left out. Returns how many were added.
    """
    faults: list[str] = []
    categories = dict(zip(taxonomy.scheme_ids, taxonomy.category_index, strict=True))
    own = Corpus("own", folder, "fit", "", "")
    batches = {draft.stem for draft in drafts}
    there = read(own, taxonomy) if own.files() else []
    kept = [example for example in there if example.batch not in batches]
    seen = {bare(example.text) for example in kept}
    added = []
    for draft in drafts:
        for number, line in enumerate(draft.read_text("utf-8").splitlines(), 1):
            if not line.strip():
                continue
            parts = line.split("|", 3)
            if len(parts) < 4 or parts[0] not in categories or not parts[3].strip():
                faults.append(f"{draft.name}:{number}: is not scheme|second|voice|text")
                continue
            scheme, second, voice, text = parts
            text = text.replace("\\n", "\n").strip()
            if bare(text) in seen:
                continue
            seen.add(bare(text))
            category = taxonomy.category_ids[categories[scheme]]
            other = second if second in taxonomy.category_ids and second != category else None
            added.append(
                Example(
                    f"{draft.stem}-{number:04d}", text, category, scheme, other,
                    language_of(text), script_of(text), voice, draft.stem,
                )
            )  # fmt: skip
    if faults:
        raise CorpusError(faults)
    write(kept + added, folder)
    return len(added)


def bare(text: str) -> str:
    """Letters and digits of a text in lower case."""
    return re.sub(r"\W+", "", text).lower()


def write(examples: Iterable[Example], folder: Path = OWN) -> None:
    """Write the own corpus: one file per category and language, in the order of the ids."""
    files: dict[str, list[Example]] = {}
    for example in examples:
        files.setdefault(f"{example.category}.{example.language}.jsonl", []).append(example)
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.jsonl"):
        if path.name not in files:
            path.unlink()
    for name, rows in files.items():
        lines = []
        for example in sorted(rows, key=lambda e: e.id):
            row = asdict(example)
            del row["category"]
            lines.append(json.dumps(row, ensure_ascii=False) + "\n")
        (folder / name).write_text("".join(lines), "utf-8")
