"""Evasive spellings: what people do to a text so that a filter does not see it.

Each is a function of a text and a source of chance. `evaluate` measures what each costs, `alter`
gives the milder ones to copies of examples.
"""

import random
import re
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

_KNOWN = tomllib.loads(Path(__file__).with_name("evasions.toml").read_text("utf-8"))
_HOMOGLYPHS = str.maketrans("aeopcyxijs", "аеорсухіјѕ")
_LEET = str.maketrans("oieast", "013457")
_EMOJI = {str(d): f"{d}\ufe0f\u20e3" for d in range(10)}

Evasion = Callable[[str, random.Random], str]


def other_script(text: str, chance: random.Random) -> str:
    """Simplified to Traditional, or back where it is Traditional. Needs `opencc`."""
    simple = _converter("t2s").convert(text)
    return str(simple) if simple != text else str(_converter("s2t").convert(text))


@cache
def _converter(way: str) -> Any:
    import opencc  # its dictionaries take a while

    return opencc.OpenCC(way)


def full_width(text: str, chance: random.Random) -> str:
    """ASCII to full-width forms."""
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def _inside(text: str, chance: random.Random, marks: str) -> str:
    """A mark inside one Latin word in three and after one Chinese character in eight."""

    def broken(found: re.Match[str]) -> str:
        word = found.group()
        at = chance.randrange(1, len(word))
        return word[:at] + chance.choice(marks) + word[at:] if chance.random() < 0.33 else word

    text = re.sub(r"[A-Za-z]{4,}", broken, text)
    return re.sub(
        r"[㐀-鿿]",
        lambda c: c.group() + (chance.choice(marks) if chance.random() < 0.125 else ""),
        text,
    )


def spaces(text: str, chance: random.Random) -> str:
    """A space inside one word in three and after one Chinese character in eight."""
    return _inside(text, chance, " ")


def symbols(text: str, chance: random.Random) -> str:
    """A symbol inside one word in three and after one Chinese character in eight."""
    return _inside(text, chance, "*-_~·|/+^")


def zero_width(text: str, chance: random.Random) -> str:
    """An invisible mark after every third character."""
    marks = "\u200b\u200c\u200d\u2060\ufeff"
    return "".join(c + (chance.choice(marks) if chance.random() < 0.33 else "") for c in text)


def variants(text: str, chance: random.Random) -> str:
    """Homophones, look-alikes, split characters and pinyin for one in three of those that have them."""
    out = "".join(
        chance.choice(_KNOWN["chinese"][c]) if c in _KNOWN["chinese"] and chance.random() < 0.33 else c
        for c in text
    )
    words = out.split(" ")
    for i, word in enumerate(words):
        known = _KNOWN["english"].get(word.lower().strip(".,"))
        if known and chance.random() < 0.5:
            words[i] = chance.choice(known)
    return " ".join(words)


def emoji_digits(text: str, chance: random.Random) -> str:
    """Digits as keycap emoji."""
    return "".join(_EMOJI.get(c, c) for c in text)


def leetspeak(text: str, chance: random.Random) -> str:
    """Digits for letters in one word in three."""
    return " ".join(
        word.lower().translate(_LEET) if chance.random() < 0.33 else word for word in text.split(" ")
    )


def homoglyphs(text: str, chance: random.Random) -> str:
    """Cyrillic look-alikes for half of the letters that have one."""
    return "".join(c.translate(_HOMOGLYPHS) if chance.random() < 0.5 else c for c in text)


def case(text: str, chance: random.Random) -> str:
    """Random case."""
    return "".join(c.upper() if chance.random() < 0.5 else c.lower() for c in text)


EVASIONS: dict[str, Evasion] = {
    "other script": other_script,
    "full width": full_width,
    "spaces": spaces,
    "symbols": symbols,
    "zero-width marks": zero_width,
    "variants and pinyin": variants,
    "emoji digits": emoji_digits,
    "leetspeak": leetspeak,
    "homoglyphs": homoglyphs,
    "case": case,
}


def all_combined(text: str, chance: random.Random) -> str:
    """One half of the evasions, drawn at random, one after the other."""
    for name in chance.sample(sorted(EVASIONS), len(EVASIONS) // 2):
        text = EVASIONS[name](text, chance)
    return text
