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

ROOT = Path(__file__).resolve().parent.parent
LISTED = Path(__file__).with_name("corpora.toml")
OWN = Path(__file__).with_name("corpus")


class CorpusError(ValueError):
    """A corpus cannot be used; `faults` names every fault with its file and line."""

    code = "corpus_unusable"

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


@dataclass(frozen=True)
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

    @property
    def is_here(self) -> bool:
        """Whether its files are on this machine."""
        return self.path.exists()

    def files(self) -> list[Path]:
        """Its files in a fixed order."""
        return sorted(self.path.glob("*.jsonl")) if self.path.is_dir() else [self.path]


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
        known.update(path.name.encode() + b"\0" + path.read_bytes())
    return known.hexdigest()


def fit_examples(corpora: Iterable[Corpus], taxonomy: Taxonomy) -> list[Example]:
    """The examples a model may be fitted on; refuses a corpus that is for measuring only."""
    corpora = list(corpora)
    faults = [
        f"corpus {corpus.name!r} is for measuring only and can never enter a fit; "
        "take it out of the list or use another corpus"
        for corpus in corpora
        if corpus.use != "fit"
    ]
    if faults:
        raise CorpusError(faults)
    return [example for corpus in corpora for example in read(corpus, taxonomy)]


def read(corpus: Corpus, taxonomy: Taxonomy) -> list[Example]:
    """All examples of a corpus. Raises CorpusError with file and line of every fault."""
    files = corpus.files()
    if corpus.sha256 and corpus.sha256 != digest(files):
        raise CorpusError([f"corpus {corpus.name!r}: has another sha256 than corpora.toml names"])
    faults: list[str] = []
    examples: list[Example] = []
    seen: dict[str, str] = {}
    categories = dict(zip(taxonomy.scheme_ids, taxonomy.category_index, strict=True))
    for path in files:
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            where = f"{path.name}:{number}"
            try:
                row = json.loads(line.decode("utf-8"))
                text, scheme = row["text"], row.get("scheme")
            except (ValueError, KeyError, TypeError, AttributeError):
                faults.append(f'{where}: is not a JSON object in UTF-8 with a "text"')
                continue
            if corpus.label and row.get("label") != corpus.label:
                continue
            category = corpus.category or row.get("category")
            if scheme is not None and (not isinstance(scheme, str) or scheme not in categories):
                faults.append(f"{where}: unknown scheme {str(scheme)[:40]!r}")
                continue
            if scheme is not None:
                category = taxonomy.category_ids[categories[scheme]]
            if category not in taxonomy.category_ids:
                faults.append(f"{where}: unknown category {str(category)[:40]!r}")
                continue
            if row.get("second") not in (None, *taxonomy.category_ids):
                faults.append(f"{where}: unknown second category")
            if not isinstance(text, str) or not text.strip():
                faults.append(f"{where}: text is empty or no string")
                continue
            if corpus.use == "fit":
                if text in seen:
                    faults.append(f"{where}: the same text as {seen[text]}")
                seen[text] = where
            examples.append(
                Example(
                    str(row.get("id", where)), text, category, scheme, row.get("second"),
                    row.get("language") or corpus.language or language_of(text),
                    row.get("script", ""), row.get("voice", ""), row.get("batch", ""),
                )
            )  # fmt: skip
    if not faults and not examples:
        faults.append(f"corpus {corpus.name!r}: holds no example")
    if faults:
        raise CorpusError(faults)
    return examples


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
    seen = {_bare(example.text) for example in kept}
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
            if _bare(text) in seen:
                continue
            seen.add(_bare(text))
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


def _bare(text: str) -> str:
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
