"""The audit: wrong labels come first, and the page shows them safely."""

import re

import numpy as np

from model.taxonomy import Taxonomy
from training import audit, audit_page
from training.corpora import Example


def test_doubtful_labels_come_first(tree: Taxonomy) -> None:
    """Rows that would get another category are listed, most doubtful first; a second category is no doubt."""
    ids = tree.scheme_ids
    loan, parcel = ids.index("loan_upfront_fee"), ids.index("parcel_case")
    rows = [
        Example("sure", "a", "fake_loan", "loan_upfront_fee"),
        Example("wrong", "b", "fake_loan", "loan_upfront_fee"),
        Example("doubtful", "c", "fake_loan", "loan_upfront_fee"),
        Example("second", "d", "fake_loan", "loan_upfront_fee", "law_enforcement_impersonation"),
    ]
    scores = np.zeros((4, len(ids)), np.float32)
    scores[0, loan] = scores[1, parcel] = scores[3, parcel] = 9
    scores[2, [loan, parcel]] = 5, 6
    found = audit.find(rows, scores, tree, 1.0)
    assert [line["id"] for line in found] == ["wrong", "doubtful"]
    assert found[0]["answered"] == "law_enforcement_impersonation"
    assert found[0]["probability"] < 0.01 < 0.9 < found[0]["answered_probability"]


def test_the_page_escapes_and_offers_every_category(tree: Taxonomy) -> None:
    """A report's words are text on the page, never markup; each category and scheme can be chosen."""
    doubt = {
        "key": "ab", "id": "1", "category": "romance", "answered": "fake_loan", "answered_probability": 0.9,
        "text": "</p><script>alert(1)</script>",
    }  # fmt: skip
    held = {"key": "cd", "id": "2", "category": "romance", "why": "two others say no", "text": "words"}
    page = audit_page.page([doubt], [held], tree)
    assert page.count("<script>") == 1
    assert "&lt;script&gt;alert(1)" in page
    assert set(re.findall(r'<select name="(\w+)"', page)) == {"ab", "cd"}
    assert {f'value="{name}"' for name in tree.category_ids} <= set(re.findall(r'value="\w+"', page))
    assert not re.search(r'(src|href)="?http', page)
