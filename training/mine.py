"""A taxonomy made from the labels that were found: flat, one category and one scheme a label."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date

from model import taxonomy as shipped
from model.taxonomy import LONGEST_NAME
from training.corpora import CorpusError

LEAST_ROWS = 3  # of a label; with fewer nothing can be learnt and tested
MOST_LABELS = 240  # a model of more columns would be too large to load
CROSSWALK = "own_labels"
SCHEME = "_all"  # what the id of a category's only scheme ends in
ADVICE = {
    "en": "Your organisation has not written advice for this category yet.",
    "zh-Hans": "贵机构尚未为此类别撰写建议。",
    "zh-Hant": "貴機構尚未為此類別撰寫建議。",
}
DEFINITION = {"en": "Reports with the label {}.", "zh-Hans": "标签为“{}”的报告。"}


def identifier(label: str) -> str:
    """An id for a label: its own letters where it has Latin ones, else a hash; the same in every run."""
    plain = re.sub(r"[^a-z0-9]+", "_", label.casefold()).strip("_")
    if label.isascii() and re.fullmatch(r"[a-z][a-z0-9_]*", plain) and len(plain) <= 40:
        return plain
    return f"label_{hashlib.sha256(label.casefold().encode()).hexdigest()[:8]}"


def make(labels: Iterable[str]) -> str:
    """TOML of a taxonomy for the labels of all rows, spellings that differ in case or spaces as one.

    Raises CorpusError where there are fewer than two or far too many labels with enough rows.
    """
    counts: Counter[str] = Counter(label.strip() for label in labels if label and label.strip())
    spelt: dict[str, list[str]] = {}
    for label in counts:
        spelt.setdefault(" ".join(label.casefold().split()), []).append(label)
    kept = {
        max(same, key=lambda label: (counts[label], label)): sorted(same)
        for same in spelt.values()
        if sum(counts[label] for label in same) >= LEAST_ROWS
    }
    if not 2 <= len(kept) <= MOST_LABELS:
        raise CorpusError([
            f"{len(kept)} labels stand on {LEAST_ROWS} rows or more, {len(counts)} in all; a model needs 2 "
            f"to {MOST_LABELS}. Is this the column of the labels?"
        ])  # fmt: skip
    names = {label: identifier(label) for label in sorted(kept)}
    taken = {*names.values(), *(name + SCHEME for name in names.values())}
    if len(taken) < 2 * len(names):  # labels that differ in signs only, or by what schemes end in
        names = {label: f"label_{hashlib.sha256(label.encode()).hexdigest()[:8]}" for label in names}
    digest = hashlib.sha256("\n".join(sorted(names.values())).encode()).hexdigest()[:8]
    tree = shipped.load()
    lines = [
        "# Made from the labels of your rows. Give the categories names, advice and cues of your own and",
        "# pass this file with --taxonomy; ids must stay what they are.",
        f"version = {_string(f'own-{digest}')}",
        "[severities]",
        *(f"{level} = {_string(meaning)}" for level, meaning in tree.severities.items()),
    ]
    for name, region in tree.regions.items():
        lines += [f"[region.{name}]", f"name = {_table(region.name)}"]
        lines += [f"{key} = {_table(phrase)}" for key, phrase in region.phrases.items()]
    for phone in tree.phones:
        lines += [
            "[[phone]]", f"number = {_string(phone.number)}", f"region = {_string(phone.region)}",
            f"owner = {_table(phone.owner)}", f"use = {_table(phone.use)}",
            f"checked_on = {phone.checked_on.isoformat()}",
        ]  # fmt: skip
    for label, own in names.items():
        lines += _category(label, own)
    lines += [
        f"[crosswalk.{CROSSWALK}]",
        f"title = 'labels as they were found'\nowner = 'you'\nchecked_on = {date(2000, 1, 1).isoformat()}",
        f"[crosswalk.{CROSSWALK}.labels]",
        *(f"{_string(same)} = {_string(names[label])}" for label in names for same in kept[label]),
    ]
    return "\n".join(lines) + "\n"


def _category(label: str, name: str) -> list[str]:
    shown = label if len(label) <= LONGEST_NAME else f"{label[: LONGEST_NAME - 20].rstrip()}… {name[-8:]}"
    node = [
        f"names = {_table(dict.fromkeys(shipped.LANGUAGES, shown))}",
        f"definition = {_table({key: text.format(shown) for key, text in DEFINITION.items()})}",
        f"includes = [{_string(shown)}]",
        "excludes = ['reports with another label']",
    ]
    # A phrase may stand once in the whole file; the scheme's is the label itself, as a weak example.
    return [
        "[[category]]", f"id = {_string(name)}", "severity = 3", f"advice = {_table(ADVICE)}", *node,
        f"cues = [{_string(f'{name}: {shown}')}]",
        "[[category.scheme]]", f"id = {_string(name + SCHEME)}", *node, f"cues = [{_string(shown)}]",
    ]  # fmt: skip


def _table(values: Mapping[str, str]) -> str:
    return "{ " + ", ".join(f"{_string(key)} = {_string(text)}" for key, text in values.items()) + " }"


def _string(text: str) -> str:
    """A basic string of TOML; JSON writes the same escapes."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
