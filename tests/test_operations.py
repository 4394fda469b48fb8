"""docs/operations.md: what an operator is told is so."""

import re
from pathlib import Path

from service.__main__ import cli, keys_cli
from service.relabel_commands import relabels_cli
from service.security import SCOPES
from service.settings import Settings, variable
from service.telemetry import Metrics

PAGE = (Path(__file__).parent.parent / "docs" / "operations.md").read_text("utf-8")


def test_metrics_commands_and_scopes_are_told_of() -> None:
    """No metric, command or scope is missing from the page, and none is told of that is not there."""
    metrics = Metrics()
    metrics.use_model("1")
    there = set(
        re.findall(r"^# TYPE (ruse_\w+) ", metrics.text(0, ({"queued": 0}, 0, 0.0)).decode(), re.MULTILINE)
    )
    there = {name for name in there if not name.endswith("_created")}
    assert there == set(re.findall(r"^\| `(ruse_\w+)` \|", PAGE, re.MULTILINE))
    for command in cli.registered_commands:
        assert command.callback is not None
        assert f"service {command.callback.__name__}" in PAGE
    for name, group in (("keys", keys_cli), ("relabels", relabels_cli)):
        for command in group.registered_commands:
            assert f"service {name} {command.name!s}" in PAGE
    assert re.findall(r"^\| `(\w+)` \| .*", PAGE, re.MULTILINE)[: len(SCOPES)] == list(SCOPES)


def test_settings_that_are_named_exist() -> None:
    """Every variable on the page is a setting."""
    known = {variable(name) for name in Settings.model_fields}
    assert set(re.findall(r"RUSE_[A-Z_]+", PAGE)) <= known
