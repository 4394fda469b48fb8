"""The taxonomy changes: a scheme renamed, a category split, two merged; each relabelled with its diff."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import model
from model import artifact, taxonomy
from model.classifier import SHIPPED
from service.arrow import Columns
from service.diff_page import page
from service.files import Options
from tests.relabelling import relabel_here

TOML = taxonomy.SHIPPED.read_text("utf-8")
SPLIT = """
[[category]]
id = 'parcel_and_fines'
names = { zh-Hans = '包裹', zh-Hant = '包裹', en = 'Parcels and fines' }
severity = 4
definition = { en = 'Fake officials, parcels and fines.', zh-Hans = '冒充' }
includes = ['a parcel']
excludes = ['a criminal case']
cues = ['a cue of the category that was split off']
advice = { zh-Hans = '{call}', zh-Hant = '{call}', en = '{call}' }

"""


def with_tree(text: str, folder: Path) -> model.Classifier:
    """The shipped model under another taxonomy, whose schemes stand in the same order."""
    path = folder / "taxonomy.toml"
    path.write_text(text.replace("version = '1.0'", "version = '2.0'"), "utf-8")
    tree = taxonomy.load(path)
    manifest, arrays = artifact.load(SHIPPED)
    thresholds = {name: manifest.thresholds.get(name, 0.5) for name in tree.category_ids}
    known = replace(manifest, schemes=tree.scheme_ids, thresholds=thresholds, taxonomy=tree.version)
    return model.Classifier(known, arrays, tree)


def renamed() -> str:
    """`parcel_case` gets another name."""
    return TOML.replace("'parcel_case'", "'parcel_trap'")


def split() -> str:
    """Three schemes of `law_enforcement_impersonation` become a category."""
    before, after = TOML.split("[[category.scheme]]\nid = 'parcel_case'")
    return f"{before}{SPLIT}[[category.scheme]]\nid = 'parcel_case'{after}"


def merged() -> str:
    """`fake_credit_repair` becomes a part of `fake_loan`, which stands before it."""
    begin = TOML.index("[[category]]\nid = 'fake_credit_repair'")
    end = TOML.index("[[category.scheme]]", begin)
    return (TOML[:begin] + TOML[end:]).replace("'fake_credit_repair'", "'fake_loan'")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory, classifier: model.Classifier) -> Path:
    """What the old taxonomy says of the cues of all schemes, a folder of parts."""
    tree = classifier.taxonomy
    cues = [cue for category in tree.categories for scheme in category.schemes for cue in scheme.cues]
    folder = tmp_path_factory.mktemp("labelled")
    pq.write_table(pa.table({"id": range(len(cues)), "text": cues}), folder / "cues.parquet")
    relabel_here(folder / "cues.parquet", folder / "out", Options(Columns(id="id"), chunk=100), classifier)
    return folder / "out"


def changes(labelled: Path, level: str, text: str, folder: Path) -> tuple[dict[str, Any], model.Classifier]:
    """The report of relabelling under another taxonomy, checked against a count of single predictions."""
    new = with_tree(text, folder)
    columns = Columns(id="id", label=level, level=level, prefix="new_")
    parts, found = relabel_here(labelled, folder / "out", Options(columns), new)
    report = found.report(new.taxonomy, columns, {"source": "cues", "model": "m", "taxonomy": "2.0"})
    rows = pq.read_table(labelled)
    said = [getattr(prediction, level) for prediction in new.classify(rows["text"].to_pylist())]
    pairs = Counter(zip(rows[level].to_pylist(), said, strict=True))
    assert {(f["old"], f["new"]): f["rows"] for f in report["flow"]} == pairs
    assert report["changed"] == sum(n for (old, now), n in pairs.items() if old != now)
    written = pa.concat_tables([pq.read_table(part) for part in parts])
    assert sum(written["new_changed"].to_pylist()) == report["changed"]
    assert set(written["new_taxonomy"].to_pylist()) == {"2.0"}
    assert f"{report['changed']} of {len(said)} rows" in page(report)
    return report, new


def test_a_renamed_scheme(labelled: Path, tmp_path: Path) -> None:
    """Every row of the old name moves to the new one, and nothing else changes."""
    report, _ = changes(labelled, "scheme", renamed(), tmp_path)
    assert report["changed"] > 0
    moved = {(f["old"], f["new"]) for f in report["flow"] if f["old"] != f["new"]}
    assert moved == {("parcel_case", "parcel_trap")}
    shares = {row["name"]: row["change"] for row in report["shares"]}
    assert shares["parcel_case"] == -shares["parcel_trap"] < 0


def test_a_split_category(labelled: Path, tmp_path: Path) -> None:
    """Rows of the category that was split go to one half or the other, hardly any elsewhere."""
    report, _ = changes(labelled, "category", split(), tmp_path)
    flow = {(f["old"], f["new"]): f["rows"] for f in report["flow"]}
    old = "law_enforcement_impersonation"
    assert flow[old, "parcel_and_fines"] > 0
    assert flow[old, old] > 0
    halves = flow[old, old] + flow[old, "parcel_and_fines"]
    assert halves >= 0.9 * sum(n for (was, _), n in flow.items() if was == old)
    assert sum(n for (was, now), n in flow.items() if was != now and old not in (was, now)) == 0


def test_two_merged_categories(labelled: Path, tmp_path: Path) -> None:
    """Rows of the category that is gone move to the one that took it in, which loses none."""
    report, new = changes(labelled, "category", merged(), tmp_path)
    flow = {(f["old"], f["new"]): f["rows"] for f in report["flow"]}
    assert "fake_credit_repair" not in new.taxonomy.category_ids
    assert {now for (was, now) in flow if was == "fake_credit_repair"} == {"fake_loan"}
    assert {now for (was, now) in flow if was == "fake_loan"} == {"fake_loan"}
    before = {row["name"]: row["old_rows"] for row in report["shares"]}
    after = {row["name"]: row["new_rows"] for row in report["shares"]}
    assert after["fake_loan"] >= before["fake_loan"] + before["fake_credit_repair"]
