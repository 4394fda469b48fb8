"""The fold: one table from code point to code point, and how it is made.

Lower case, full-width to half-width, Traditional to Simplified, circled and styled digits to digits,
look-alikes used to slip past filters to the plain character, accents to the bare letter. Each code
point becomes one or none, never two, so a position in the folded text is a position in the text.
"""

import unicodedata

import numpy as np

from model.kernel import (
    BREAK,
    CJK,
    DIGIT,
    KIND_SHIFT,
    LATIN,
    LINE,
    NOTHING,
    OTHER,
    SPACE,
    SYMBOL,
    Fold,
)

N_CODES = 0x20000  # code points above are ideographs, marks or symbols, told apart by the kernel

_BREAKS = "\n\r。！？；：，、.!?;:,…\u2028\u2029"
# Marks that people put inside words to break them; between words there is a space beside them.
_STRAY = "*~^_|+·•"
# Characters that stand for another one in messages that mean to slip past a filter.
_STAND_INS = {
    "薇": "微", "溦": "微", "徽": "微", "嶶": "微", "裙": "群", "峮": "群", "羣": "群",
    "亻": "人", "沖": "充", "衝": "充", "冲": "充", "镃": "资", "帐": "账", "帳": "账",
    "號": "号", "鉨": "你", "妳": "你", "訁": "言", "嬴": "赢",
}  # fmt: skip
# Letters of other scripts that look like Latin ones (Unicode's confusables, the common part).
_LOOK_ALIKES = dict(
    zip(
        "аеорсухіјѕԁԛԝһкмтвнАВЕКМНОРСТУХІЈЅαοορνυικτεΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
        "aeopcyxijsdqwhkmtbnabekmhopctyxijsaooovuikteabezhikmnoptyx",
        strict=True,
    )
)
_VANISH = [(0x00AD, 0x00AD), (0x0300, 0x036F), (0x034F, 0x034F), (0x061C, 0x061C), (0x180B, 0x180F),
           (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x20D0, 0x20F0), (0xFE00, 0xFE0F),
           (0xFEFF, 0xFEFF), (0xFFF0, 0xFFFB), (0x3099, 0x309A)]  # fmt: skip


def _plain(character: str) -> str:
    """The character after every rule but Traditional to Simplified; one character always."""
    if character in _LOOK_ALIKES:
        return _LOOK_ALIKES[character]
    for form in ("NFKC", "NFKD"):
        wide = unicodedata.normalize(form, character)
        if form == "NFKD":  # é is e and an accent
            wide = wide[:1] + "".join(c for c in wide[1:] if not unicodedata.combining(c))
        if len(wide) == 1:
            character = wide
    if len(wide) == 3 and wide[0] == "(" and wide[2] == ")":  # ⑴, ⒜, ㈠
        character = wide[1]
    if len(wide) == 2 and wide[1] in ".,":  # ⒈ and 🄁
        character = wide[0]
    if 0x1F100 <= ord(character) < 0x1F200 and "LATIN CAPITAL" in unicodedata.name(character, ""):
        character = unicodedata.name(character)[-1]  # squared and circled letters
    if 0x1F1E6 <= ord(character) < 0x1F200:  # regional indicators
        character = chr(ord(character) - 0x1F1E6 + ord("a"))
    lower = character.lower()
    if len(lower) == 1:
        character = lower
    digit = unicodedata.digit(character, None)
    if digit is not None:
        character = str(digit)
    return _LOOK_ALIKES.get(character, character)


def _kind(source: str, target: str) -> int:
    code = ord(source)
    if target in _STRAY:
        return NOTHING
    if any(first <= code <= last for first, last in _VANISH):
        return NOTHING
    category = unicodedata.category(target)
    if category == "Cc" and target not in "\t\n\r":
        return NOTHING
    if target in _BREAKS:
        return BREAK
    if "0" <= target <= "9":
        return DIGIT
    if ("CJK" in unicodedata.name(target, "") and category == "Lo") or target in "々〇":
        return CJK
    if "a" <= target <= "z":
        return LATIN
    if category[0] in "LM":
        return LATIN if "LATIN" in unicodedata.name(target, "") else OTHER
    return SYMBOL


def make() -> Fold:
    """Make the table for N_CODES code points. Needs `opencc`."""
    import opencc

    simplify = opencc.OpenCC("t2s").convert
    targets = np.arange(N_CODES, dtype=np.uint32)
    kinds = np.full(N_CODES, SYMBOL, np.uint8)
    for code in range(N_CODES):
        if 0xD800 <= code < 0xE000:
            continue
        source = chr(code)
        target = _plain(source)
        simple = simplify(target)
        if len(simple) == 1:
            target = simple
        target = _STAND_INS.get(target, target)
        targets[code] = ord(target)
        kinds[code] = _kind(source, target)
    inside = targets < N_CODES  # what folds to a folding character folds on
    targets[inside] = targets[targets[inside]]
    return _table(targets, kinds)


def _table(targets: np.ndarray, kinds: np.ndarray) -> Fold:
    """The table with its entries, in which white space has kinds of its own."""
    finer = kinds.astype(np.uint32)
    white = (targets == 32) | ((targets >= 9) & (targets <= 13))
    finer[white & (kinds == SYMBOL)] = SPACE
    finer[white & (kinds == BREAK)] = LINE
    return Fold(targets, kinds, targets | finer << KIND_SHIFT)


def pack(targets: np.ndarray, kinds: np.ndarray) -> dict[str, np.ndarray]:
    """The table as a file keeps it: the code points that change, and runs of one kind."""
    sources = np.flatnonzero(targets != np.arange(targets.size)).astype(np.uint32)
    starts = np.flatnonzero(np.diff(kinds, prepend=kinds[0] + 1)).astype(np.uint32)
    return {
        "fold_sources": sources,
        "fold_targets": targets[sources],
        "fold_starts": starts,
        "fold_kinds": kinds[starts],
    }


def unpack(arrays: dict[str, np.ndarray]) -> Fold:
    """The table that `pack` wrote."""
    targets = np.arange(N_CODES, dtype=np.uint32)
    targets[arrays["fold_sources"]] = arrays["fold_targets"]
    lengths = np.diff(np.append(arrays["fold_starts"].astype(np.int64), N_CODES))
    kinds = np.repeat(arrays["fold_kinds"], lengths)
    return _table(targets, kinds)
