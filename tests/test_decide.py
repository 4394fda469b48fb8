"""The decision: every condition can fail alone, and says what it saw."""

import copy
from typing import Any

import pytest

from training import decide

GOOD: dict[str, Any] = {
    "champion": "1.0.0-a",
    "rows": 1000,
    "overall": {
        "challenger": {"macro_f1": {"value": 0.8, "low": 0.78, "high": 0.82}},
        "difference": {"value": 0.002, "low": -0.008, "high": 0.012, "rows": 1000},
        "categories": {
            name: {"rows": 50, "difference": {"value": -0.02}, "p_worse": 0.02} for name in "abcdefgh"
        },
    },
    "promise": {
        "challenger": {"all": {"answered": 100, "right": 95}, "a": {"answered": 40, "right": 36}},
        "champion": {"all": {"answered": 90, "right": 88}, "a": {"answered": 40, "right": 37}},
    },
    "new_schemes": {"fresh": {"rows": 24, "right": 20}},
    "speed": {"challenger": 9000.0, "champion": 10000.0},
}


def failed(change: Any = None, size: int = 14 << 20, columns: int = 64) -> list[str]:
    """The checks that fail after a change."""
    contest = copy.deepcopy(GOOD)
    if change:
        change(contest)
    return [check.name for check in decide.decide(contest, size, columns) if not check.passed]


def test_what_is_not_worse_is_promoted() -> None:
    """A model within all bounds passes; a category that looks worse by chance does not stop it."""
    assert failed() == []


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("not worse", lambda c: c["overall"]["difference"].update(low=-0.0101)),
        ("not worse", lambda c: c["overall"].update(difference=None)),
        ("no category worse", lambda c: c["overall"]["categories"]["d"].update(p_worse=0.006)),
        ("promise kept", lambda c: c["promise"]["challenger"]["a"].update(right=28)),
        ("new schemes known", lambda c: c["new_schemes"]["fresh"].update(rows=4, right=4)),
        ("new schemes known", lambda c: c["new_schemes"]["fresh"].update(right=11)),
        ("speed", lambda c: c["speed"].update(challenger=4900.0)),
    ],
)
def test_each_condition_stops_alone(name: str, change: Any) -> None:
    """One condition that does not hold is enough, and it alone is named."""
    assert failed(change) == [name]


def test_size_is_bounded_by_the_columns() -> None:
    """Sixteen MiB are allowed for each 64 columns begun."""
    assert failed(size=17 << 20) == ["size"]
    assert failed(size=17 << 20, columns=80) == []


def test_a_promise_that_the_champion_breaks_too_does_not_stop() -> None:
    """On rows unlike those of the calibration the challenger need only be no worse than the champion."""

    def both(contest: dict[str, Any]) -> None:
        contest["promise"]["challenger"]["a"].update(right=28)
        contest["promise"]["champion"]["a"].update(right=27)

    assert failed(both) == []


def test_the_first_model_must_beat_the_dullest_answer() -> None:
    """Without a champion the lower end must be above what one answer for all would reach."""

    def first(low: float) -> Any:
        return lambda c: (
            c.update(champion=None),
            c["overall"]["challenger"]["macro_f1"].update(low=low),
        )

    assert failed(first(0.5)) == []
    assert failed(first(0.02)) == ["better than no model"]
