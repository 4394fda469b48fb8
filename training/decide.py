"""Decide: a challenger is fit to be promoted when it is not worse; each check says what it saw."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scipy.stats import beta

from training import calibrate

LEAST_DIFFERENCE = -0.01  # of macro-F1, at the lower end of the paired 95 % interval
LEVEL = 0.05  # of Holm's correction over the categories, and of the promise
LEAST_SPEED = 0.5  # of the champion's: both share the machine with others, so the bound is wide
MOST_BYTES = 16 * 1024 * 1024  # for each 64 columns
NEW_ROWS, NEW_RIGHT = 5, 0.5  # held-out rows a new scheme needs, and the share to be named right


@dataclass(frozen=True)
class Check:
    """One condition: whether it holds, and what was seen."""

    name: str
    passed: bool
    seen: str


def decide(contest: Mapping[str, Any], size: int, n_columns: int) -> list[Check]:
    """All checks of a contest; `size` is the artifact's in bytes. Promoted when every one passes."""
    first = contest["champion"] is None
    checks = [_alone(contest)] if first else [_not_worse(contest), _categories(contest)]
    checks += [
        _promise(contest),
        _new(contest),
        _speed(contest["speed"]),
        Check(
            "size",
            size <= MOST_BYTES * -(-n_columns // 64),
            f"{size / 2**20:.1f} MiB, at most {MOST_BYTES * -(-n_columns // 64) / 2**20:.0f}",
        ),
    ]
    return checks


def _not_worse(contest: Mapping[str, Any]) -> Check:
    change = contest["overall"]["difference"]
    if change is None:
        return Check("not worse", False, "there is no row that both models can be measured on")
    return Check(
        "not worse",
        change["low"] > LEAST_DIFFERENCE,
        f"macro-F1 differs by {change['value']:+.4f} [{change['low']:+.4f}, {change['high']:+.4f}] on "
        f"{change['rows']} rows; the lower end must be above {LEAST_DIFFERENCE}",
    )


def _categories(contest: Mapping[str, Any]) -> Check:
    """Holm (1979): the p-values in order against level / (n - place), up to the first that fails."""
    known = {
        name: found["p_worse"]
        for name, found in contest["overall"]["categories"].items()
        if "p_worse" in found
    }
    worse = []
    for place, name in enumerate(sorted(known, key=lambda name: (known[name], name))):
        if known[name] > LEVEL / (len(known) - place):
            break
        change = contest["overall"]["categories"][name]["difference"]
        worse.append(f"{name} ({change['value']:+.3f} F1)")
    seen = f"worse after Holm's correction: {', '.join(worse)}" if worse else f"none of {len(known)} is worse"
    return Check("no category worse", not worse, seen)


def _promise(contest: Mapping[str, Any]) -> Check:
    """Broken where so few right answers would be seen in one of twenty runs if the promise held.

    Where the champion breaks it as badly on the same rows, the rows are unlike those it holds for.
    """
    new, old = contest["promise"]["challenger"], contest["promise"]["champion"]
    level = LEVEL / max(1, len(new))
    broken = []
    for name, kept in new.items():
        upper = _upper(kept["right"], kept["answered"], level)
        before = old.get(name)
        no_worse = before and kept["right"] / kept["answered"] >= before["right"] / before["answered"]
        if upper < calibrate.PROMISE and not no_worse:
            broken.append(f"{name}: {kept['right']} of {kept['answered']} right")
    kept = new.get("all", {"answered": 0, "right": 0})
    seen = "; ".join(broken) or f"{kept['right']} of {kept['answered']} answered are right"
    return Check("promise kept", not broken, seen)


def _upper(right: int, answered: int, level: float) -> float:
    """Clopper-Pearson upper bound of a share, one-sided."""
    return 1.0 if right == answered else float(beta.ppf(1 - level, right + 1, answered - right))


def _new(contest: Mapping[str, Any]) -> Check:
    lacking = []
    for name, found in contest["new_schemes"].items():
        if found["rows"] < NEW_ROWS:
            lacking.append(f"{name} has {found['rows']} held-out rows of {NEW_ROWS} needed")
        elif found["right"] < NEW_RIGHT * found["rows"]:
            lacking.append(f"{name}: {found['right']} of {found['rows']} held-out rows named right")
    seen = "; ".join(lacking) or (
        ", ".join(f"{n}: {f['right']} of {f['rows']}" for n, f in contest["new_schemes"].items()) or "none"
    )
    return Check("new schemes known", not lacking, seen)


def _alone(contest: Mapping[str, Any]) -> Check:
    """The first model of its kind must be better than always giving the most frequent answer."""
    counts = [found["rows"] for found in contest["overall"]["categories"].values()]
    total = max(1, sum(counts))
    dull = 2 * max(counts, default=0) / (total + max(counts, default=0)) / max(1, len(counts))
    mine = contest["overall"]["challenger"]["macro_f1"]
    return Check(
        "better than no model",
        bool(counts) and mine["low"] > dull,
        f"macro-F1 {mine['value']:.3f} [{mine['low']:.3f}, {mine['high']:.3f}] on {contest['rows']} rows; "
        f"always the most frequent category would reach {dull:.3f}",
    )


def _speed(found: Mapping[str, float | None]) -> Check:
    new, old = found["challenger"] or 0.0, found["champion"]
    seen = f"{new:,.0f} texts a second" + (f", the champion {old:,.0f}" if old else "")
    return Check("speed", not old or new >= LEAST_SPEED * old, seen)
