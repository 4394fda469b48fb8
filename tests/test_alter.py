"""Altered copies: the same story, other small things."""

from model.taxonomy import Taxonomy
from training import alter, calibrate

TEXT = (
    "On 12.03.2024 I got a call from 9876543210. He said my card is blocked. I gave the code. "
    "Then 45,000 was gone. Please help."
)
CHINESE = "六月十日，张某接到电话，对方自称客服。对方让其下载软件。随后卡内20000元被转走。遂报警。"


def test_a_seed_gives_one_copy() -> None:
    """The same seed gives the same copy, other seeds give others."""
    copies = [alter.copy(TEXT, str(seed)) for seed in range(20)]
    assert copies == [alter.copy(TEXT, str(seed)) for seed in range(20)]
    assert len(set(copies)) > 15


def test_copies_keep_most_of_the_story() -> None:
    """A copy is never empty and keeps at least a third of the characters of its text."""
    for text in (TEXT, CHINESE, "骗了我", "x" * 40):
        for seed in range(50):
            copy = alter.copy(text, str(seed))
            assert len(set(copy) & set(text)) >= len(set(text)) / 4
            assert copy.strip()


def test_copies_of_frauds_name_their_scheme() -> None:
    """About half of a fraud's copies say what people call its scheme, in the language of the text."""
    for text, language in ((TEXT, "en"), (CHINESE, "zh")):
        names = alter.NAMES["otp_kyc_harvest"][language]
        copies = [alter.copy(text, str(seed), True, "otp_kyc_harvest") for seed in range(200)]
        named = sum(any(name in copy for name in names) for copy in copies)
        assert 70 < named < 130
        assert not any(name in alter.copy(text, str(seed), True) for seed in range(50) for name in names)


def test_every_scheme_of_fraud_has_names(tree: Taxonomy) -> None:
    """People call each scheme something in either language, no two alike, and what is no fraud has none."""
    frauds = {s.id for c in tree.categories if c.id != calibrate.HARMLESS for s in c.schemes}
    assert set(alter.NAMES) == frauds
    assert all(len(alter.NAMES[scheme][language]) >= 5 for scheme in frauds for language in ("en", "zh"))
    all_names = [name for names in alter.NAMES.values() for some in names.values() for name in some]
    assert len(set(all_names)) == len(all_names)
