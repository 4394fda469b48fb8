"""service.campaigns: which texts nearly repeat each other."""

from service.campaigns import bands
from tests.test_desk import PLOTS


def share(first: str, second: str) -> bool:
    return bool(set(bands(first)) & set(bands(second)))


def test_near_duplicates_share_a_band() -> None:
    """The same story with other amounts, numbers and a word more is found."""
    text = "对方自称京东客服，说我的白条账户需要注销，否则影响征信，让我转了{}元到账户{}。"
    assert share(text.format(4800, 6222021001), text.format(12000, 6217900) + "我很后悔。")
    english = "He said my parcel {} was lost, he would refund me {} and had me share my screen."
    assert share(english.format("A1", 300), "Hello. " + english.format("A1", 4_500))


def test_other_stories_share_none() -> None:
    """Different stories are different campaigns."""
    assert not any(share(a, b) for a in PLOTS for b in PLOTS if a < b)


def test_bands_are_fixed_and_fit_the_database() -> None:
    """The bands of a text never change, for they are stored, and are below 2 to the 63."""
    assert bands("parcel") == bands("parcel")
    assert len(bands("a")) == 6
    assert all(0 <= band < 2**63 for text in ("", "a", "快递" * 5_000) for band in bands(text))
    assert bands("快递到了驿站。")[0] == bands("快递到了驿站。")[0]
