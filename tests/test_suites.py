"""Suites: disguises cost little, what cannot be read is reviewed."""

import random

import pytest

import model
from training import evade, suites

TEXT = "They said my loan was approved and asked 4500 rupees first 对方说贷款要先交保证金3000元"


@pytest.mark.parametrize("name", sorted(evade.EVASIONS))
def test_each_evasion_changes_the_text_the_same_way_twice(name: str) -> None:
    """An evasion changes a text, and the same chance gives the same change."""
    way = evade.EVASIONS[name]
    once, twice = (way(TEXT, random.Random(4)) for _ in range(2))
    assert once == twice != TEXT


@pytest.mark.parametrize("name", sorted({**evade.EVASIONS, "all combined": evade.all_combined}))
def test_a_disguised_report_keeps_its_category(classifier: model.Classifier, name: str) -> None:
    """Two plain reports keep their category under every evasion."""
    reports = [
        "A man from a finance company said my loan was approved but I must first pay a processing fee of "
        "4500 and then GST and insurance. I paid three times and the loan never came, now he is blocked.",
        "报警人称在网上申请贷款，对方称需先交保证金和刷流水才能放款，分三次转账一万二，贷款一直没有下来，对方将其拉黑",
    ]
    way = {**evade.EVASIONS, "all combined": evade.all_combined}[name]
    disguised = [way(text, random.Random(7)) for text in reports]
    assert [p.category for p in classifier.classify(disguised)] == ["fake_loan", "fake_loan"]


def test_what_cannot_be_read_is_never_a_sure_answer(classifier: model.Classifier) -> None:
    """Other languages, gibberish, digits, lone addresses, ten characters go to a person, with the reason."""
    for name, found in suites.strangers(classifier).items():
        assert found["safe"] >= 0.99, name
        assert found["right_reason"] >= 0.95, name
