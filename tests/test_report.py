"""The report's page and plots: well-formed, nothing unescaped, no network."""

import re
from xml.etree import ElementTree

from training import plots

HOSTILE = "<script>&\"'"
CATEGORIES = {
    HOSTILE: {"rows": 9, "f1": {"value": 0.5, "low": 0.1, "high": 0.9}},
    "romance": {
        "rows": 20,
        "f1": {"value": 0.8, "low": 0.7, "high": 0.9},
        "champion": {"value": 0.7, "low": 0.6, "high": 0.8},
    },
}
SPACE = "{http://www.w3.org/2000/svg}"


def test_plots_are_well_formed() -> None:
    """Each plot is XML, escapes what labels are called, and shows every part."""
    bins = [{"said": 0.2, "right": 0.3, "rows": 10}, {"said": 0.9, "right": 0.8, "rows": 40}]
    confusion = [(("romance", HOSTILE), 7), (("romance", "loan"), 2), ((HOSTILE, "loan"), 1)]
    for svg, parts, mark in (
        (plots.reliability(bins, HOSTILE), 2, "circle"),
        (plots.intervals(CATEGORIES), 3, "circle"),
        (plots.flow(confusion), 3, "path"),
    ):
        tree = ElementTree.fromstring(svg)
        assert len(tree.findall(f"{SPACE}{mark}")) == parts
        assert "<script>" not in svg
        assert tree.find(f"{SPACE}title") is not None


def test_dots_stand_where_the_numbers_are() -> None:
    """A perfect bin lies on the diagonal, an interval covers its dot, a flow is as wide as its rows."""
    tree = ElementTree.fromstring(plots.reliability([{"said": 0.5, "right": 0.5, "rows": 1}], "x"))
    dot = tree.find(f"{SPACE}circle")
    line = tree.find(f"{SPACE}line")
    assert dot is not None
    assert line is not None
    ends = {name: float(line.attrib[name]) for name in ("x1", "x2", "y1", "y2")}
    assert float(dot.attrib["cx"]) == (ends["x1"] + ends["x2"]) / 2
    assert float(dot.attrib["cy"]) == (ends["y1"] + ends["y2"]) / 2
    widths = re.findall(r'stroke-width="([\d.]+)"', plots.flow([(("a", "b"), 30), (("a", "c"), 10)]))
    assert float(widths[0]) == 3 * float(widths[1])
