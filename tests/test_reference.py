"""The page of categories and schemes."""

from docs import reference
from model.taxonomy import Taxonomy


def test_fresh(tree: Taxonomy) -> None:
    """The page is what the taxonomy makes today; `make docs` renews it."""
    assert reference.PAGE.read_text("utf-8") == reference.page(tree)


def test_complete(tree: Taxonomy) -> None:
    """Every category, scheme, telephone number and foreign label is on the page."""
    page = reference.page(tree)
    for name in (*tree.category_ids, *tree.scheme_ids):
        assert f"`{name}`" in page
    for phone in tree.phones:
        assert f"| {phone.number} | {phone.region}, " in page
    for walk in tree.crosswalks.values():
        for label in walk.labels:
            assert f"| {label} | " in page
