"""The page on which a person decides about doubtful and quarantined rows; one file, no network."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from model.taxonomy import Category, Taxonomy

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "article{border-top:1px solid #bbb;padding:.8rem 0}p{white-space:pre-wrap;margin:.3rem 0}"
    "button{font:inherit;position:sticky;top:.5rem}small{color:#555}"
)
SCRIPT = """
document.querySelector("button").onclick = () => {
  const lines = [...document.querySelectorAll("select")].filter(s => s.value).map(
    s => JSON.stringify({key: s.name, decision: s.value}) + "\\n");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(lines, {type: "application/x-ndjson"}));
  link.download = "decisions.jsonl";
  link.click();
};
"""


def page(doubts: Sequence[Mapping[str, Any]], held: Sequence[Mapping[str, Any]], taxonomy: Taxonomy) -> str:
    """HTML of the rows; each has "key", "id", "category", "text", and "why" or what was answered."""
    names = {c.id: c.names["en"] for c in taxonomy.categories}
    options = "".join(_options(category) for category in taxonomy.categories)
    choice = f'<option value="">not decided</option><option>keep</option><option>drop</option>{options}'
    parts = []
    for title, rows in (("Labels that may be wrong", doubts), ("Reviews in quarantine", held)):
        parts.append(f"<h2>{title}: {len(rows)}</h2>")
        for row in rows:
            why = row.get("why") or (
                f"the others say {names.get(row['answered'], row['answered'])} "
                f"({row['answered_probability']:.0%})"
            )
            category = str(row["category"])
            parts.append(
                f"<article><b>{escape(names.get(category, category))}</b> "
                f"<small>{escape(str(row['id']))}; {escape(str(why))}</small>"
                f"<p>{escape(str(row['text']))}</p>"
                f'<label>Decision <select name="{row["key"]}">{choice}</select></label></article>'
            )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Audit</title>'
        f"<style>{STYLE}</style><h1>Audit</h1><p>Decide what you can, save the decisions, and take them in "
        "with <code>python -m training audit apply decisions.jsonl --models DIR</code>.</p>"
        f"<button>Save decisions</button>{''.join(parts)}<script>{SCRIPT}</script></html>\n"
    )


def _options(category: Category) -> str:
    ids = [category.id, *(s.id for s in category.schemes if len(category.schemes) > 1)]
    inner = "".join(f'<option value="{name}">{name}</option>' for name in ids)
    return f'<optgroup label="{escape(category.names["en"])}">{inner}</optgroup>'
