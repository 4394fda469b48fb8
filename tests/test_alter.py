"""Altered copies: the same story, other small things."""

from training import alter

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
