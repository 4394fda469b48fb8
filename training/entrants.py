"""The rows on which champion and challenger meet, with what each says of them."""

from collections.abc import Mapping
from pathlib import Path

from model.classifier import Classifier
from training import check, collect, contest, heldout, train
from training.corpora import Example

MOST_SUITE = 2000  # rows of a set that the suites disguise


def answered(
    challenger: Classifier,
    champion: Classifier | None,
    champion_home: Path | None,
    checked: check.Checked,
    measured: Mapping[str, list[Example]],
    trained: train.Trained,
) -> dict[str, contest.Answers]:
    """All rows that both models can be asked about: measured, frozen, and held out of both fits."""
    sets = {n: contest.ask(challenger, champion, rows, [n] * len(rows)) for n, rows in measured.items()}
    for name, rows in sorted(checked.frozen.items()):
        examples = [row.example for row in rows]
        sets[f"{name}, frozen"] = contest.ask(challenger, champion, examples, [row.source for row in rows])
    said = heldout.answers(trained.scores, trained.manifest.temperature, challenger.taxonomy)
    before = heldout.load(champion_home, champion.taxonomy) if champion and champion_home else {}
    new = set(challenger.taxonomy.scheme_ids) - set(champion.taxonomy.scheme_ids if champion else ())
    source = {row.key: row.source for row in checked.rows}
    said_by_both = [
        (e, source.get(collect.key(e.text), ""), answer, before.get(key, (None, None))[0])
        for e, answer in zip(trained.examples, said, strict=True)
        if (key := heldout.key(e.text)) in before or champion is None or e.scheme in new
    ]
    if said_by_both:
        asked, origins, new_answers, old_answers = zip(*said_by_both, strict=True)
        categories, schemes = zip(*new_answers, strict=True)
        sets["held out of the fit"] = contest.Answers(asked, origins, categories, old_answers, schemes)
    return sets


def for_suites(measured: Mapping[str, list[Example]], checked: check.Checked) -> dict[str, list[Example]]:
    sets = dict(measured) | {n: [row.example for row in rows] for n, rows in checked.frozen.items()}
    return {name: rows[:: len(rows) // MOST_SUITE + 1] for name, rows in sets.items()}
