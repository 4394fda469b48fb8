"""Reading tables of TOML: values out, and every fault of the file collected on the way."""

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

LONGEST = 200  # characters of a text, where nothing else is said
PLACE = re.compile(r"\{([^{}]*)\}")  # where a phrase is put into a text
_NUMBER = re.compile(r"\d{3,}")  # what looks like a telephone number


class Checks:
    """Turns tables into values; what it returns beside a fault is a stand-in, never to be used."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def table(
        self, value: object, where: str, keys: Iterable[str] = (), optional: Iterable[str] = ()
    ) -> dict[str, Any]:
        """A table that is not empty; where keys are given, with exactly these and maybe the optional."""
        if not isinstance(value, dict) or not value:
            self.faults.append(f"{where}: must be a table that is not empty")
            return {}
        if wanted := list(keys):
            known = {*wanted, *optional}
            self.faults += [f"{where}: {key} is missing" for key in wanted if key not in value]
            self.faults += [f"{where}: {key[:40]!r} is unknown" for key in value if key not in known]
        return value

    def inner(
        self, table: Mapping[str, Any], key: str, where: str, keys: Iterable[str] = ()
    ) -> dict[str, Any]:
        """The table under a key; an absent key is the outer table's fault, told there."""
        return self.table(table[key], f"{where}: {key}", keys) if key in table else {}

    def items(self, table: Mapping[str, Any], key: str, where: str) -> list[Any]:
        """The list under a key, not empty."""
        value = table.get(key)
        if isinstance(value, list) and value:
            return value
        if key in table:
            self.faults.append(f"{where}: {key} must be a list that is not empty")
        return []

    def text(self, table: Mapping[str, Any], key: str, where: str, longest: int = LONGEST) -> str:
        """A text that is not blank, has no space around it and is at most so long."""
        value = table.get(key)
        if isinstance(value, str) and value and value == value.strip():
            if len(value) > longest:
                self.faults.append(f"{where}: {key} has {len(value)} characters, not {longest} at most")
            return value
        if key in table:
            self.faults.append(f"{where}: {key} must be text with no space around it")
        return ""

    def texts(self, table: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
        """A list of texts, no text twice."""
        rows = {f"{key} {at}": item for at, item in enumerate(self.items(table, key, where), 1)}
        texts = tuple(self.text(rows, name, where) for name in rows)
        if len(set(texts)) < len(texts):
            self.faults.append(f"{where}: {key} holds a text twice")
        return texts

    def words(
        self,
        table: Mapping[str, Any],
        key: str,
        where: str,
        keys: Iterable[str],
        longest: int = LONGEST,
    ) -> dict[str, str]:
        """A table of texts under exactly these keys."""
        inner = self.inner(table, key, where, keys)
        return {name: self.text(inner, name, f"{where}: {key}", longest) for name in keys}

    def spoken(
        self, texts: Mapping[str, str], where: str, places: Iterable[str], numbers: Iterable[str], home: str
    ) -> None:
        """Texts whose braces hold these places only, and whose telephone numbers are these of `home`."""
        allowed = ", ".join(places) or "nothing"
        for language, text in texts.items():
            if set(PLACE.findall(text)) - {*places} or set(PLACE.sub("", text)) & {*"{}"}:
                self.faults.append(f"{where}.{language}: in braces may stand {allowed}")
            for number in sorted(set(_NUMBER.findall(text)) - {*numbers}):
                self.faults.append(f"{where}.{language}: {number} does not belong to {home}")

    def day(self, table: Mapping[str, Any], key: str, where: str) -> date:
        """A date of TOML (unquoted, no time)."""
        value = table.get(key)
        if type(value) is date:
            return value
        if key in table:
            self.faults.append(f"{where}: {key} must be a date such as 2026-01-31, unquoted")
        return date.min
