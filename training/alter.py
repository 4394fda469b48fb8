"""Altered copies of examples: cropped, framed, masked, mistyped, so that small things do not decide.

Nothing here makes a new story; a copy keeps its example's scheme and batch.
"""

import random
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from joblib import Parallel, delayed

from training import calibrate, evade
from training.batches import GIVE_AWAY
from training.corpora import Example, language_of

_PHRASES = tomllib.loads(Path(__file__).with_name("phrases.toml").read_text("utf-8"))
_DECEIVED = {language: phrases["deceived"] for language, phrases in _PHRASES.items()}
NAMES = tomllib.loads(Path(__file__).with_name("names.toml").read_text("utf-8"))
DECEIVED = 0.5  # the share of a fraud's copies that say so, and of others that do not
NAMED = 0.5  # the share of a fraud's copies that name its scheme
_SENTENCE = re.compile(r"[^。！？!?.\n]+[。！？!?.\n]*[”’\"]?\s*")
_DIGITS = re.compile(r"\d[\d,.\-/]{2,}\d")


def copy(text: str, seed: str, fraud: bool = False, scheme: str | None = None) -> str:
    """One altered copy of a text; the same seed gives the same copy.

    A copy of a fraud often says in so many words that somebody was deceived and, where its scheme is
    given, how people call that; a copy of what is none often lacks the words that name fraud.
    """
    chance = random.Random(seed)
    if chance.random() < DECEIVED:
        text = _beside(text, _DECEIVED, chance) if fraud else _unname(text)
    for step, share in _STEPS:
        if chance.random() < share:
            altered = step(text, chance)
            if len(altered.strip()) >= min(12, len(text)):
                text = altered
    if scheme in NAMES and chance.random() < NAMED:
        text = _beside(text, NAMES[scheme], chance)
    return text


def names(scheme: str) -> list[str]:
    """What people call a scheme, in both languages; nothing where it is not one of ours."""
    return [name for known in NAMES.get(scheme, {}).values() for name in known]


def copies(examples: Sequence[Example], n: int, seed: int, few: int) -> list[list[str]]:
    """`n` altered copies of each example; of more than `few` examples on all cores."""
    parts = Parallel(n_jobs=-1 if len(examples) > few else 1, batch_size=500)(
        delayed(_copies)(e, [f"{seed}:{k}:{e.id}" for k in range(n)]) for e in examples
    )
    return list(parts)


def _copies(example: Example, seeds: Sequence[str]) -> list[str]:
    fraud = example.category != calibrate.HARMLESS
    return [copy(example.text, seed, fraud, example.scheme) for seed in seeds]


def _crop(text: str, chance: random.Random) -> str:
    """Start or stop in the middle of the story, or leave out one sentence."""
    parts = _SENTENCE.findall(text)
    if len(parts) < 3:
        return text
    if chance.random() < 0.4:
        del parts[chance.randrange(len(parts))]
        return "".join(parts)
    kept = chance.randint((len(parts) + 1) // 2, len(parts) - 1)
    first = chance.randint(0, len(parts) - kept)
    return "".join(parts[first : first + kept])


def _frame(text: str, chance: random.Random) -> str:
    """Give it an opening, a closing, or both."""
    phrases = _PHRASES[language_of(text)]
    gap = " " if language_of(text) == "en" else ""
    how = chance.random()
    if how < 0.7:
        text = chance.choice(phrases["openings"]) + gap + text
    if how > 0.3:
        text = text + gap + chance.choice(phrases["closings"])
    return text


def _beside(text: str, phrases: Mapping[str, Sequence[str]], chance: random.Random) -> str:
    """The text with one of the phrases of its language behind or before it: a sentence, a heading, a note."""
    language = language_of(text)
    phrase = chance.choice(phrases[language])
    stop, colon, gap = (".", ":", " ") if language == "en" else ("。", "：", "")
    behind = chance.random() < 0.6
    if phrase[-1].isalnum():
        phrase += chance.choice((stop, stop, "", "") if behind else (stop, stop, colon, "\n"))
    return text + gap + phrase if behind else phrase + gap + text


def _unname(text: str) -> str:
    left = GIVE_AWAY.sub("", text)
    return left if len(left.strip()) >= min(12, len(text)) else text


def _mask(text: str, chance: random.Random) -> str:
    mask = chance.choice(["[NUM]", "XXXX", "****", "某", ""])
    return _DIGITS.sub(lambda found: mask if chance.random() < 0.7 else found.group(), text)


def _mistype(text: str, chance: random.Random) -> str:
    """Drop, double or swap a few characters."""
    out = list(text)
    for _ in range(max(1, len(out) // 60)):
        at = chance.randrange(len(out))
        how = chance.random()
        if how < 0.4:
            out[at] = ""
        elif how < 0.7:
            out[at] = out[at] * 2
        elif at + 1 < len(out):
            out[at], out[at + 1] = out[at + 1], out[at]
    return "".join(out)


def _unpoint(text: str, chance: random.Random) -> str:
    """Write without punctuation, as many do."""
    return re.sub(r"[，。！？；：、,.!?;:]+ ?", " ", text)


def _evade(text: str, chance: random.Random) -> str:
    """Write some words so that a filter would not see them."""
    return chance.choice((evade.variants, evade.spaces, evade.symbols, evade.leetspeak))(text, chance)


_STEPS: tuple[tuple[Callable[[str, random.Random], str], float], ...] = (
    (_crop, 0.55),
    (_frame, 0.45),
    (_mask, 0.35),
    (_mistype, 0.35),
    (_unpoint, 0.15),
    (_evade, 0.2),
)
