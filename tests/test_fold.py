"""The fold: one code point to one or none."""

import pytest

from model import fold, kernel
from model.kernel import Fold


def folded(text: str, table: Fold) -> str:
    """The text after the fold, as the kernel would see it."""
    kept = [c for c in text if table.kinds[ord(c)] != kernel.NOTHING]
    return "".join(chr(table.targets[ord(c)]) for c in kept)


@pytest.mark.parametrize(
    ("sent", "plain"),
    [
        ("ＯＴＰ", "otp"),
        ("詐騙", "诈骗"),
        ("加薇信", "加微信"),
        ("①⑨𝟓", "195"),
        ("о\u0440аl", "opal"),  # Cyrillic look-alikes
        ("Ünïté", "unite"),
        ("刷\u200b单", "刷单"),
        ("🅾🅃🄿", "otp"),
        ("5️⃣", "5"),
        ("İﬁ", "iﬁ"),
    ],
)
def test_what_slips_past_filters_becomes_plain(sent: str, plain: str, table: Fold) -> None:
    """Styled, full-width, Traditional and look-alike characters fold to the plain one."""
    assert folded(sent, table) == plain


def test_folding_twice_changes_nothing_more(table: Fold) -> None:
    """A folded character stays as it is."""
    inside = table.targets[table.targets < table.targets.size]
    changed = inside[table.targets[inside] != inside]
    assert changed.size == 0, [hex(c) for c in changed[:10]]


def test_packing_loses_nothing(table: Fold) -> None:
    """The table that a file keeps is the table that was made."""
    read = fold.unpack(fold.pack(table.targets, table.kinds))
    assert (read.targets == table.targets).all()
    assert (read.kinds == table.kinds).all()


def test_scripts_the_model_does_not_read_are_told_apart(table: Fold) -> None:
    """Letters of other scripts are OTHER, so that such a text can be sent to review."""
    for character in "Щקक가かก":
        assert table.kinds[ord(character)] == kernel.OTHER
