"""What a person sees on a terminal. Imported only where one is."""

from typing import Any

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from model.taxonomy import Taxonomy

N_WORDS = 8  # of evidence that are marked


def show(known: dict[str, Any], text: str, taxonomy: Taxonomy, language: str) -> None:
    """Print one prediction, or what was wrong with a line."""
    console = Console(highlight=False)
    head = Text()
    if known["id"] is not None:
        head.append(_plain(str(known["id"])) + "  ", "bold")
    if "error" in known:
        head.append(f"line {known['line']}: {known['error']}: {known['message']}", "red")
        console.print(head)
        return
    category = next(c for c in taxonomy.categories if c.id == known["category"])
    scheme = next(s for s in category.schemes if s.id == known["scheme"])
    head.append(category.names[language], "bold green" if category.id == "not_fraud" else "bold red")
    head.append(f" {known['category_probability']:.0%}")
    unsure = "" if known["scheme_sure"] else "?"
    head.append(f"  {scheme.names[language]}{unsure} {known['scheme_probability']:.0%}", "cyan")
    if known["needs_review"]:
        head.append(f"  needs review: {known['review_reason']}", "yellow")
    console.print(head)
    names = {c.id: c.names[language] for c in taxonomy.categories}
    others = (f"{names[r['category']]} {r['probability']:.0%}" for r in known["ranked"][1:4])
    console.print(Text("  else " + ", ".join(others), "dim"))
    if "evidence" in known:
        console.print(_marked(text, known["evidence"]))


def _marked(text: str, evidence: list[dict[str, Any]]) -> Text:
    shown = Text(_plain(text))
    best = sorted((e for e in evidence if e["weight"] > 0), key=lambda e: -e["weight"])
    for word in best[:N_WORDS]:
        shown.stylize("bold reverse", word["start"], word["end"])
    return shown


def _plain(text: str) -> str:
    """The text with control characters made harmless, one for one."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)


def show_tree(taxonomy: Taxonomy, language: str) -> None:
    """Print the categories and their schemes as a tree."""
    tree = Tree(f"taxonomy {taxonomy.version}")
    for category in taxonomy.categories:
        branch = tree.add(Text.assemble((category.id, "bold"), "  ", category.names[language]))
        for scheme in category.schemes:
            branch.add(Text.assemble((scheme.id, "cyan"), "  ", scheme.names[language]))
    Console(highlight=False).print(tree)
