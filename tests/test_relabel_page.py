"""docs/relabel.md: what it says of columns, codes, options and Spark is so."""

import ast
import re
from pathlib import Path

import pyarrow as pa

from model.text import FAULTS
from service.__main__ import cli
from service.arrow import ADDED, Columns, classify_arrow
from service.spark import spark_type

PAGE = (Path(__file__).parent.parent / "docs" / "relabel.md").read_text("utf-8")


def test_columns_options_and_codes_are_told_of() -> None:
    """Every new column, every option and every code of a text stands on the page, no option is made up."""
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", PAGE, re.MULTILINE)
    assert re.findall(r"\w+", " ".join(rows)) == ADDED.names
    (command,) = (c for c in cli.registered_commands if c.callback and c.callback.__name__ == "relabel")
    assert command.callback is not None
    known = {
        "--engine" if name == "engine_" else "--" + name.replace("_", "-")
        for name in command.callback.__annotations__
        if name not in ("source", "target", "return")
    }
    told = set(re.findall(r"--[a-z]+(?:-[a-z]+)*", PAGE))
    assert told - known == {"--database", "--report"}  # of `relabels`
    assert known - told == {"--delimiter"} - told
    assert {code for code in FAULTS if f"`{code}`" not in PAGE} == {"lone_surrogate"}


def test_the_example_for_spark_runs() -> None:
    """The function of the example gives the columns that its schema names."""
    (example,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    tree = ast.parse(example)
    kept = [node for node in tree.body if isinstance(node, ast.ImportFrom | ast.FunctionDef | ast.Assign)][:4]
    scope: dict[str, object] = {}
    exec(compile(ast.Module(kept, []), "example", "exec"), scope)
    batch = pa.record_batch({"story": ["my loan never came"], "category": ["fake_loan"]})
    (found,) = scope["relabel"](iter([batch]))  # type: ignore[operator]
    assert found.equals(classify_arrow(batch, Columns("story", label="category", prefix="new_")))
    added = [f"{field.name} {spark_type(field.type)}" for field in list(found.schema)[2:]]
    assert scope["new"] == ", ".join(added)
