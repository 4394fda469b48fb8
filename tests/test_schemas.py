"""service.schemas: bytes in, texts or a problem out."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.text import FAULTS
from service import strict
from service.problems import KINDS, Problem
from service.schemas import read_text, read_texts

texts = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0")).filter(str.strip)


@given(texts, st.booleans())
def test_a_good_text_is_read_unchanged(text: str, escaped: bool) -> None:
    """Any text that is not blank comes out as it was sent, escaped or not."""
    body = json.dumps({"text": text}, ensure_ascii=escaped).encode()
    assert read_text(body, limit=len(text)) == text


@given(st.lists(texts, min_size=1, max_size=5))
def test_good_texts_are_read_in_order(many: list[str]) -> None:
    """Texts come out in the order they were sent."""
    assert read_texts(json.dumps({"texts": many}).encode(), most=5, limit=10_000) == many


@given(st.binary(max_size=60))
def test_bytes_are_read_or_refused(body: bytes) -> None:
    """Whatever bytes come, the outcome is a value or a problem, never another error."""
    with suppress(Problem):
        strict.read(body, 9)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(["text", "texts", "a"]), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_values_are_read_or_refused(value: object) -> None:
    """Whatever JSON value comes, both readers give texts within the limits or refuse it."""
    body = json.dumps(value).encode()
    for read in (
        lambda: [read_text(body, limit=4)],
        lambda: read_texts(body, most=2, limit=4),
    ):
        with suppress(Problem):
            got = read()
            assert 1 <= len(got) <= 2
            assert all(isinstance(text, str) and text.strip() and len(text) <= 4 for text in got)


def test_the_place_of_a_fault_in_json_is_told() -> None:
    """A syntax fault is told by its position, which says nothing of the text."""
    with pytest.raises(Problem) as caught:
        strict.read(b'{"text": kestrel}', 9)
    assert caught.value.as_dict()["detail"].endswith("near character 9.")


def test_the_problem_is_that_of_the_first_fault() -> None:
    """With several faults the problem has the code of the first, and all of them in order."""
    with pytest.raises(Problem) as caught:
        read_texts(b'{"texts": ["a", "\\u0000b", " ", 1]}', most=9, limit=9)
    assert caught.value.code == "nul"
    assert [fault.code for fault in caught.value.faults] == ["nul", "blank", "not_a_string"]


def test_every_fault_of_a_text_is_a_problem() -> None:
    """What the model package finds wrong with a text has a code here, and is the client's fault."""
    assert {KINDS[code].status for code in FAULTS} == {422}
