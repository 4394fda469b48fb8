"""Writes docs/reference.md from the taxonomy: `python -m docs.reference`; a test says when."""

import sys
from collections.abc import Mapping
from pathlib import Path

from model import taxonomy
from model.taxonomy import Category, Crosswalk, Scheme, Taxonomy

PAGE = Path(__file__).with_name("reference.md")

HEAD = """\
# Categories and schemes

<!-- Made by `python -m docs.reference` from model/taxonomy.toml; edit that, not this. -->

Taxonomy {version}: {categories} categories, {schemes} schemes. The category is the scheme by which
the victim was, or was about to be, deceived, not the channel of the payment. Cues and advice stand
in `model/taxonomy.toml`; `python -m model taxonomy` prints the tree.

Severity: how badly a typical case harms.

"""


def page(tree: Taxonomy) -> str:
    """The whole page."""
    parts = [
        HEAD.format(version=tree.version, categories=len(tree.category_ids), schemes=len(tree.scheme_ids)),
        "".join(f"- **{level}** {meaning}\n" for level, meaning in tree.severities.items()),
        *(_category(category) for category in tree.categories),
        _phones(tree),
        "\n## What others call it\n",
        *(_crosswalk(name, walk) for name, walk in tree.crosswalks.items()),
    ]
    return "".join(parts)


def _category(category: Category) -> str:
    return (
        f"\n## {category.names['en']}\n\n"
        f"`{category.id}` · {_chinese(category.names)} · severity {category.severity}\n\n"
        f"{category.definition['en']}\n\n{category.definition['zh-Hans']}\n\n"
        f"{_bounds(category)}\n\n"
        "| scheme | what it is | not here |\n|---|---|---|\n"
        + "".join(_scheme(scheme) for scheme in category.schemes)
    )


def _scheme(scheme: Scheme) -> str:
    theme = f" · theme {scheme.theme}" if scheme.theme else ""
    return (
        f"| `{scheme.id}`{theme}<br>{scheme.names['en']}<br>{_chinese(scheme.names)} "
        f"| {scheme.definition['en']} {scheme.definition['zh-Hans']} "
        f"Includes {'; '.join(scheme.includes)}. | {'; '.join(scheme.excludes)} |\n"
    )


def _bounds(category: Category) -> str:
    return f"Includes {'; '.join(category.includes)}. Not here: {'; '.join(category.excludes)}."


def _chinese(names: Mapping[str, str]) -> str:
    return f"{names['zh-Hans']} · {names['zh-Hant']}"


def _phones(tree: Taxonomy) -> str:
    rows = "".join(
        f"| {p.number} | {p.region}, {tree.regions[p.region].name['en']} | {p.owner['en']} "
        f"| {p.use['en']} | {p.checked_on} |\n"
        for p in tree.phones
    )
    return (
        "\n## Telephone numbers in the advice\n\n"
        "The advice names the authorities of the region asked for and of no other; where none is given, "
        "or\nanother, it is general.\n\n"
        f"| number | region | whose | for | checked on |\n|---|---|---|---|---|\n{rows}"
    )


def _crosswalk(name: str, walk: Crosswalk) -> str:
    rows = "".join(
        f"| {label} | `{target.scheme or target.category}` |\n"
        if target.category
        else f"| {label} | nowhere: {target.reason} |\n"
        for label, target in walk.labels.items()
    )
    return (
        f"\n### {walk.title}\n\n`{name}` · {walk.owner} · checked on {walk.checked_on}\n\n"
        f"| label | goes to |\n|---|---|\n{rows}"
    )


if __name__ == "__main__":
    sys.exit(PAGE.write_text(page(taxonomy.load()), "utf-8") and 0)
