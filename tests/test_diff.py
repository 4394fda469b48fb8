"""service.diff and its page: what a relabelling would change."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pyarrow as pa

from model.taxonomy import Taxonomy
from service import diff
from service.arrow import Columns, classify_arrow
from service.diff import Diff
from service.diff_page import page, picture

COLUMNS = Columns(id="id", label="was", prefix="new_")
TEXTS = [
    "办贷款先让我交保证金，交了又说流水不够，钱没放下来",
    "paid insurance for the loan, the loan never came",
    "parcel with drugs in my name, call passed to the police",
    "",
]
LABELS = ["fake_loan", "romance", "<b>gone</b>", "fake_loan"]


def relabelled(models: Path, texts: list[str], labels: list[str | None], first: int = 0) -> pa.RecordBatch:
    ids = [f"r{first + i}" for i in range(len(texts))]
    batch = pa.record_batch({"id": ids, "text": texts, "was": pa.array(labels, pa.string())})
    return classify_arrow(batch, COLUMNS, models)


def test_the_report_adds_up(small_model: Path, tree: Taxonomy) -> None:
    """Rows, errors, changes, flow and shares of a small relabelling are those counted by hand."""
    counted = Diff()
    counted.add(relabelled(small_model, TEXTS, LABELS), COLUMNS)
    report = counted.report(tree, COLUMNS, {"source": "here"})
    assert report["source"] == "here"
    assert (report["rows"], report["classified"], report["compared"], report["changed"]) == (4, 3, 3, 2)
    assert report["errors"] == {"blank": 1}
    assert {(f["old"], f["new"]): f["rows"] for f in report["flow"]} == {
        ("fake_loan", "fake_loan"): 1,
        ("romance", "fake_loan"): 1,
        ("<b>gone</b>", "law_enforcement_impersonation"): 1,
    }
    shares = {s["name"]: s for s in report["shares"]}
    assert (shares["fake_loan"]["old_rows"], shares["fake_loan"]["new_rows"]) == (1, 2)
    assert abs(shares["fake_loan"]["change"] - 1 / 3) < 1e-9
    assert abs(sum(s["change"] for s in report["shares"])) < 1e-9
    assert {row["id"] for row in report["surest_changes"]} == {"r1", "r2"}
    assert "text" not in report["surest_changes"][0]


def test_chunks_add_up_to_the_whole(small_model: Path, tree: Taxonomy) -> None:
    """Chunks counted apart, written as JSON and merged, report what one count of all rows does."""
    texts, labels = TEXTS * 40, LABELS * 40
    whole, merged = Diff(), Diff()
    whole.add(relabelled(small_model, texts, labels), COLUMNS, with_text=True)
    for at in range(0, len(texts), 32):
        part = Diff()
        part.add(
            relabelled(small_model, texts[at : at + 32], labels[at : at + 32], at), COLUMNS, with_text=True
        )
        merged.merge(Diff.from_dict(json.loads(json.dumps(part.as_dict()))))
    assert merged.as_dict() == whole.as_dict()
    report = merged.report(tree, COLUMNS, {})
    assert len(report["surest_changes"]) == diff.N_LISTED
    chances = [row["probability"] for row in report["surest_changes"]]
    assert chances == sorted(chances, reverse=True)
    least = [row["probability"] for row in report["least_sure_changes"]]
    assert least == sorted(least)
    assert report["surest_changes"][0]["text"] in TEXTS


def test_without_old_labels_there_are_shares(small_model: Path, tree: Taxonomy) -> None:
    """Rows that bring no old label are reported by what the model says of them."""
    counted = Diff()
    counted.add(relabelled(small_model, TEXTS, [None] * 4), COLUMNS)
    report = counted.report(tree, COLUMNS, {})
    assert (report["compared"], report["changed_share"], report["flow"]) == (0, None, [])
    assert {s["name"]: s["new_rows"] for s in report["shares"]} == {
        "fake_loan": 2, "law_enforcement_impersonation": 1,
    }  # fmt: skip
    assert "no rows with an old label" in page(report)


def test_foreign_labels_that_lead_nowhere_are_told_of(small_model: Path, tree: Taxonomy) -> None:
    """A label that its crosswalk does not know is counted by itself and compared with nothing."""
    columns = Columns(id="id", label="was", prefix="new_", crosswalk="mps_ten_types")
    batch = pa.record_batch({"id": [1, 2], "text": TEXTS[:2], "was": ["虚假贷款类诈骗", "未知"]})
    counted = Diff()
    counted.add(classify_arrow(batch, columns, small_model), columns)
    report = counted.report(tree, columns, {})
    assert (report["compared"], report["changed"]) == (1, 0)
    assert report["labels_that_lead_nowhere"] == {"未知": 1}


def test_many_labels_stay_few(small_model: Path) -> None:
    """Labels without end (a column of free text) are counted whole, but not all told apart."""
    n = 3 * diff.N_LABELS
    counted = Diff()
    counted.add(relabelled(small_model, TEXTS[:1] * n, [f"label {i}" for i in range(n)]), COLUMNS)
    assert len(counted.flow) <= diff.N_LABELS
    assert counted.flow.total() == n


def test_the_page_is_well_formed_and_escapes_what_it_quotes(small_model: Path, tree: Taxonomy) -> None:
    """The page holds the figures and a picture that is XML; a label cannot become markup."""
    counted = Diff()
    counted.add(relabelled(small_model, TEXTS, LABELS), COLUMNS)
    report = counted.report(tree, COLUMNS, {"source": "<i>folder</i>"})
    shown = page(report)
    assert "2 of 3 rows with an old label changed (66.7%)" in shown
    assert "<b>" not in shown
    assert "<i>" not in shown
    assert not re.search(r"<script|https?:|\sstyle=|\son\w+=", shown)
    drawn = ElementTree.fromstring(picture(report["flow"]))
    titles = {title.text for title in drawn.iter("title")}
    assert "<b>gone</b> → law_enforcement_impersonation: 1" in titles
    heights = [float(bar.attrib["height"]) for bar in drawn.iter("rect")]
    assert abs(sum(heights) - 2 * 520) < 1, "both sides hold all rows"
