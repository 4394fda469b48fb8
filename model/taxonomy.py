"""The tree: categories, the schemes under them, advice by region, telephone numbers and crosswalks.

All of it is data, in `taxonomy.toml`. `load` checks the whole file before it returns anything and
names every fault at once. The order of the schemes in the file is the order of a model's columns.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from model.checks import PLACE, Checks
from model.errors import TaxonomyError

SHIPPED = Path(__file__).with_name("taxonomy.toml")
LANGUAGES = ("zh-Hans", "zh-Hant", "en")
DEFINED_IN = ("en", "zh-Hans")
SEVERITIES = (1, 2, 3, 4, 5)

LONGEST_NAME, LONGEST_TEXT = 60, 600  # characters

ELSEWHERE = "elsewhere"  # the region of who names none, or one that the file does not have
PHRASES = ("call", "credit", "consumer")  # what an advice may have put in by region

_ID = re.compile(r"[a-z][a-z0-9_]*")
_REGION = re.compile(rf"[A-Z]{{2}}|{ELSEWHERE}")
_NODE = ("id", "names", "definition", "includes", "excludes", "cues")


@dataclass(frozen=True)
class Scheme:
    """A leaf; names by language, definition in `en` and `zh-Hans`; theme is "epidemic" or None."""

    id: str
    names: Mapping[str, str]
    definition: Mapping[str, str]
    includes: tuple[str, ...]
    excludes: tuple[str, ...]
    cues: tuple[str, ...]
    theme: str | None = None


@dataclass(frozen=True)
class Category:
    """A category and its schemes; severity 1 to 5 as `Taxonomy.severities` says.

    `advice`, by language, has places for what differs between regions: see `Taxonomy.advise`.
    """

    id: str
    names: Mapping[str, str]
    definition: Mapping[str, str]
    includes: tuple[str, ...]
    excludes: tuple[str, ...]
    cues: tuple[str, ...]
    severity: int
    theme: str | None
    advice: Mapping[str, str]
    schemes: tuple[Scheme, ...]


@dataclass(frozen=True)
class Region:
    """Where a victim may be: its name by language, and by phrase and language what its advice says."""

    name: Mapping[str, str]
    phrases: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Phone:
    """A number of an authority: its region's id, whose it is and what for by language, when checked."""

    number: str
    region: str
    owner: Mapping[str, str]
    use: Mapping[str, str]
    checked_on: date


@dataclass(frozen=True)
class Target:
    """Where a foreign label goes: a category, a scheme too where it is as narrow, or why nowhere."""

    category: str | None
    scheme: str | None
    reason: str | None


@dataclass(frozen=True)
class Crosswalk:
    """What others call our categories, label by label."""

    title: str
    owner: str
    checked_on: date
    labels: Mapping[str, Target]


@dataclass(frozen=True)
class Taxonomy:
    """The whole tree."""

    version: str
    categories: tuple[Category, ...]
    severities: Mapping[int, str]
    regions: Mapping[str, Region]
    phones: tuple[Phone, ...]
    crosswalks: Mapping[str, Crosswalk]

    @cached_property
    def category_ids(self) -> tuple[str, ...]:
        """Ids of the categories in file order."""
        return tuple(category.id for category in self.categories)

    @cached_property
    def scheme_ids(self) -> tuple[str, ...]:
        """Ids of the schemes in file order: the columns of a model."""
        return tuple(scheme.id for category in self.categories for scheme in category.schemes)

    @cached_property
    def category_index(self) -> tuple[int, ...]:
        """For each scheme the index of its category."""
        return tuple(i for i, category in enumerate(self.categories) for _ in category.schemes)

    def advise(self, category: Category, language: str, region: str = ELSEWHERE) -> str:
        """The advice for a victim in this region; an unknown one is `elsewhere`."""
        phrases = self.regions.get(region, self.regions[ELSEWHERE]).phrases
        return PLACE.sub(lambda place: phrases[place[1]][language], category.advice[language])

    def as_dict(self) -> dict[str, Any]:
        """The tree as JSON can hold it; dates in ISO 8601, the advice as it is `elsewhere`."""
        tree = asdict(self)
        for shown, category in zip(tree["categories"], self.categories, strict=True):
            shown["advice"] = {language: self.advise(category, language) for language in LANGUAGES}
        for dated in (*tree["phones"], *tree["crosswalks"].values()):
            dated["checked_on"] = dated["checked_on"].isoformat()
        tree["severities"] = {str(level): meaning for level, meaning in self.severities.items()}
        return tree


def load(path: str | Path | None = None) -> Taxonomy:
    """The shipped taxonomy, or that of `path`. Raises TaxonomyError with every fault of the file."""
    path = Path(path) if path else SHIPPED
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise TaxonomyError([f"{path}: cannot be read ({error.strerror})"]) from error
    except ValueError as error:  # not UTF-8, or not TOML: the message names line and column
        raise TaxonomyError([f"{path}: is not TOML in UTF-8: {error}"]) from error
    reader = _Reader()
    tree = reader.taxonomy(content)
    if reader.faults:
        raise TaxonomyError(f"{path.name}: {fault}" for fault in reader.faults)
    return tree


class _Reader(Checks):
    """Reads the tables of the file; what stands twice is known by what was read before."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.cues: set[str] = set()

    def taxonomy(self, content: dict[str, Any]) -> Taxonomy:
        where = "the file"
        keys = ("version", "severities", "region", "phone", "category", "crosswalk")
        table = self.table(content, where, keys)
        levels = [str(level) for level in SEVERITIES]
        severities = self.words(table, "severities", where, levels)
        phones = tuple(
            self.phone(row, f"phone {at}") for at, row in enumerate(self.items(table, "phone", where), 1)
        )
        regions = {
            name: self.region(row, name, {phone.number for phone in phones if phone.region == name})
            for name, row in self.inner(table, "region", where).items()
        }
        if regions and ELSEWHERE not in regions:
            self.faults.append(f"{where}: region: {ELSEWHERE} is missing")
        for at, phone in enumerate(phones, 1):
            if phone.region and phone.region not in regions:
                self.faults.append(f"phone {at}: {phone.region[:40]!r} does not stand under [region]")
        categories = tuple(
            self.category(row, f"category {at}")
            for at, row in enumerate(self.items(table, "category", where), 1)
        )
        homes: dict[object, Target] = {}
        for category in categories:
            homes[category.id] = Target(category.id, None, None)
            homes |= {scheme.id: Target(category.id, scheme.id, None) for scheme in category.schemes}
        crosswalks = {
            name: self.crosswalk(row, f"crosswalk {name}", homes)
            for name, row in self.inner(table, "crosswalk", where).items()
        }
        return Taxonomy(
            self.text(table, "version", where, LONGEST_NAME),
            categories,
            {level: severities.get(str(level), "") for level in SEVERITIES},
            regions,
            phones,
            crosswalks,
        )

    def category(self, row: object, where: str) -> Category:
        where = _named(row, "category", where)
        table = self.table(row, where, (*_NODE, "severity", "advice", "scheme"), ("theme",))
        severity = table.get("severity", SEVERITIES[0])
        if type(severity) is not int or severity not in SEVERITIES:
            self.faults.append(f"{where}: severity must be one of {SEVERITIES}")
        advice = self.words(table, "advice", where, LANGUAGES, LONGEST_TEXT)
        self.spoken(advice, f"{where}: advice", PHRASES, set(), "it; put it into a phrase of its [region]")
        return Category(
            **self.node(table, where),
            severity=severity,
            theme=self.theme(table, where),
            advice=advice,
            schemes=tuple(
                self.scheme(child, f"{where}, scheme {at}")
                for at, child in enumerate(self.items(table, "scheme", where), 1)
            ),
        )

    def scheme(self, row: object, where: str) -> Scheme:
        where = _named(row, "scheme", where)
        table = self.table(row, where, _NODE, ("theme",))
        return Scheme(**self.node(table, where), theme=self.theme(table, where))

    def node(self, table: dict[str, Any], where: str) -> dict[str, Any]:
        """What categories and schemes have in common."""
        name = self.text(table, "id", where, LONGEST_NAME)
        if name and not _ID.fullmatch(name):
            self.faults.append(f"{where}: id must be lower-case letters, digits and underscores")
        if name in self.ids:
            self.faults.append(f"{where}: the id stands twice; categories and schemes share them")
        cues = self.texts(table, "cues", where)
        for at, cue in enumerate(cues, 1):
            if cue in self.cues:
                self.faults.append(f"{where}: cue {at} stands elsewhere too; it can tell nothing")
        self.ids.add(name)
        self.cues.update(cues)
        return {
            "id": name,
            "names": self.words(table, "names", where, LANGUAGES, LONGEST_NAME),
            "definition": self.words(table, "definition", where, DEFINED_IN, LONGEST_TEXT),
            "includes": self.texts(table, "includes", where),
            "excludes": self.texts(table, "excludes", where),
            "cues": cues,
        }

    def theme(self, table: dict[str, Any], where: str) -> str | None:
        return self.text(table, "theme", where, LONGEST_NAME) if "theme" in table else None

    def region(self, row: object, name: str, numbers: set[str]) -> Region:
        where = f"region {name[:40]}"
        if not _REGION.fullmatch(name):
            self.faults.append(f"{where}: must be two capital letters (ISO 3166-1), or {ELSEWHERE}")
        table = self.table(row, where, ("name", *PHRASES))
        phrases = {key: self.words(table, key, where, LANGUAGES, LONGEST_TEXT) for key in PHRASES}
        for key, words in phrases.items():
            self.spoken(words, f"{where}: {key}", (), numbers, "a [[phone]] of the region")
        return Region(self.words(table, "name", where, LANGUAGES, LONGEST_NAME), phrases)

    def phone(self, row: object, where: str) -> Phone:
        table = self.table(row, where, ("number", "region", "owner", "use", "checked_on"))
        number, region = (self.text(table, key, where) for key in ("number", "region"))
        owner, use = (self.words(table, key, where, LANGUAGES) for key in ("owner", "use"))
        if number and not number.isdecimal():
            self.faults.append(f"{where}: number must be digits only")
        return Phone(number, region, owner, use, self.day(table, "checked_on", where))

    def crosswalk(self, row: object, where: str, homes: Mapping[object, Target]) -> Crosswalk:
        table = self.table(row, where, ("title", "owner", "checked_on", "labels"))
        labels: dict[str, Target] = {}
        for label, value in self.inner(table, "labels", where).items():
            if isinstance(value, dict):
                inner = self.table(value, f"{where}: {label[:40]!r}", ("reason",))
                labels[label] = Target(None, None, self.text(inner, "reason", where))
            elif isinstance(value, str) and value in homes:
                labels[label] = homes[value]
            else:
                self.faults.append(
                    f"{where}: {label[:40]!r} goes to {str(value)[:40]!r}, "
                    "which is no category, no scheme and no reason"
                )
        title, owner = (self.text(table, key, where) for key in ("title", "owner"))
        return Crosswalk(title, owner, self.day(table, "checked_on", where), labels)


def _named(row: object, kind: str, place: str) -> str:
    """How faults call a table: by its id, or by its place where it has none."""
    name = row.get("id") if isinstance(row, dict) else None
    return f"{kind} {name}" if isinstance(name, str) and _ID.fullmatch(name) else place
