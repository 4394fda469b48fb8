"""The kernel: tokens, n-grams, words, and what they add up to."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import model
from model import artifact, kernel
from model.classifier import SHIPPED
from model.encoding import decode, encode
from model.kernel import Fold, Tables
from training import fit, words


def seen(text: str, table: Fold) -> set[int]:
    """The n-gram hashes of a text."""
    nobody, none = np.zeros(0, np.uint64), np.zeros((0, 0), np.int8)
    nothing = Tables(kernel.index(nobody, nobody), none, none, np.zeros(0, np.float32), np.zeros(0, np.uint8))
    return set(words.emit([text], table, nothing).keys.tolist())


@pytest.mark.parametrize(
    ("sent", "same"),
    [
        ("Send the OTP now", "send the otp now!!"),
        ("刷单返利", "刷 單*返-利"),
        ("加微信", "加薇\u200b信"),
        ("paid 5000 rupees", "paid 7800 rupees"),
        ("fake l0an app", "fake loan app"),
        ("转账３０００元", "轉帳3000元"),
    ],
)
def test_spellings_of_one_thing_are_one(sent: str, same: str, table: Fold) -> None:
    """Case, width, script, inserted marks, sums of one size and leetspeak do not change the n-grams."""
    assert seen(sent, table) == seen(same, table)


def test_typos_keep_most_letters(table: Fold) -> None:
    """A mistyped word shares letter n-grams with the right one."""
    assert len(seen("investment", table) & seen("investmant", table)) >= 4


def test_a_name_is_the_hash_of_the_whole_word(table: Fold) -> None:
    """Words of one Latin token or up to four Chinese characters have a hash, longer ones none."""
    chosen = ["parcel", "快递", "two words", "一二三四五", "", "安全账户"]
    keys = np.empty(len(chosen), np.uint64)
    kernel.name(*encode(chosen), table, keys)
    assert (keys != 0).tolist() == [True, True, False, False, False, True]
    assert int(keys[1]) in seen("我的快递呢", table)


def test_chinese_words_follow_the_best_path(table: Fold) -> None:
    """The segmentation with the highest sum of log-frequencies wins, as jieba's would."""
    chosen = ["研究", "研究生", "生命", "命", "起源", "的"]
    shares = np.array([1e-3, 1e-4, 1e-3, 1e-5, 1e-4, 1e-2])
    vocabulary = words.vocabulary(chosen, shares, [], table, np.zeros((6, 1), np.float32))
    found = words.emit(["研究生命的起源"], table, vocabulary.table()).word_rows
    assert [vocabulary.words[row] for row in found] == ["研究", "生命", "的", "起源"]


def test_a_sentence_end_ends_a_word(table: Fold) -> None:
    """Characters on both sides of a full stop are never one word; a stray mark does not part them."""
    vocabulary = words.vocabulary(
        ["去年", "去", "年"], np.array([1e-3, 1e-4, 1e-4]), [], table, np.zeros((3, 1), np.float32)
    )
    for text, expected in (("我去。年底", ["去", "年"]), ("去*年", ["去年"])):
        found = words.emit([text], table, vocabulary.table()).word_rows
        assert [vocabulary.words[row] for row in found] == expected


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("in vest", ["invest"]),  # so much more frequent than the two by chance
        ("inv est", ["invest"]),  # neither is a word
        ("in form", ["in", "form"]),  # both are frequent
        ("in. vest", ["in", "vest"]),  # a sentence ends between them
        ("in  vest", ["in", "vest"]),  # two marks between them
        ("1nv357", ["invest"]),  # digits spelt as letters, because that is a word
        ("f0rm", ["form"]),
        ("1nv", []),  # which is none
    ],
)
def test_broken_words_are_put_together(sent: str, expected: list[str], table: Fold) -> None:
    """Words parted by a space, and spelt with digits, are the words if the vocabulary makes that likely."""
    chosen = ["in", "vest", "invest", "form", "inform"]
    shares = np.array([1e-2, 1e-6, 1e-4, 1e-4, 3e-5])
    vocabulary = words.vocabulary(chosen, shares, [], table, np.zeros((5, 1), np.float32))
    found = words.emit([sent], table, vocabulary.table()).word_rows
    assert [vocabulary.words[row] for row in found] == expected


@settings(deadline=None)
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=5))
def test_utf8_is_decoded_as_python_does(texts: list[str]) -> None:
    """Texts in a buffer of UTF-8 give the code points and offsets that the strings give."""
    encoded = [text.encode() for text in texts]
    starts = np.cumsum([0, *map(len, encoded)]).astype(np.int64)
    for found, expected in zip(decode(b"".join(encoded), starts), encode(texts), strict=True):
        np.testing.assert_array_equal(found, expected)


@settings(deadline=None, max_examples=500)
@given(st.binary(max_size=6))
def test_bytes_are_refused_where_python_refuses_them(content: bytes) -> None:
    """What Python does not take for UTF-8 is refused, and the text is named; all else is decoded."""
    starts = np.array([0, 2, 2 + len(content)], np.int64)
    try:
        content.decode()
    except UnicodeDecodeError:
        with pytest.raises(model.TextError, match=r"texts\[8\].*not UTF-8"):
            decode(b"ok" + content, starts, 7)
    else:
        assert decode(b"ok" + content, starts)[0].tobytes().decode("utf-32-le") == "ok" + content.decode()


def test_strangers_add_nothing(classifier: model.Classifier) -> None:
    """An n-gram that nobody has seen hits nobody's row."""
    manifest, arrays = artifact.load(SHIPPED)
    plain = model.Classifier(replace(manifest, sharpening=0.0), arrays, classifier.taxonomy)
    scores, statistics = plain.scores(["ꙮ꙱ 🜁🜂", ""])
    np.testing.assert_array_equal(scores[0], classifier.bias)
    np.testing.assert_array_equal(scores[1], classifier.bias)
    assert statistics[1].sum() == 0


any_text = st.text(st.one_of(st.characters(), st.sampled_from("诈骗刷單帳 otp loan０①.。\n")), max_size=60)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(any_text, max_size=12), data=st.data())
def test_a_batch_equals_its_single_calls(
    classifier: model.Classifier, texts: list[str], data: st.DataObject
) -> None:
    """Any order and any split of a batch gives each text the same bits."""
    whole = classifier.probabilities(texts)
    order = data.draw(st.permutations(range(len(texts))))
    shuffled = classifier.probabilities([texts[i] for i in order])
    cut = data.draw(st.integers(0, len(texts)))
    parts = [classifier.probabilities(part) for part in (texts[:cut], texts[cut:])]
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    assert all(shuffled[k].tobytes() == whole[i].tobytes() for k, i in enumerate(order))


def test_long_texts_do_not_overflow(classifier: model.Classifier) -> None:
    """A text of 200,000 characters still has finite scores that a shorter one of its kind has too."""
    short, long = classifier.probabilities(["刷单垫付做任务 " * 20, "刷单垫付做任务 " * 25_000])
    assert np.isfinite(long).all()
    assert short.argmax() == long.argmax()


def test_what_stands_there_again_counts_less_each_time() -> None:
    """The parts of an n-gram's occurrences add up to 1 + ln(count), to a sixteenth."""
    counts = np.arange(1, kernel.PARTS.size + 1)
    np.testing.assert_allclose(fit.damped(counts), 1 + np.log(counts), atol=1 / 16)


def test_of_equal_hashes_the_first_row_counts() -> None:
    """Whatever stands in a file, no look-up leads to a row that is not there."""
    keys = np.array([7, 7, 9, 7, 9], np.uint64)
    index = kernel.index(keys, keys)
    assert [kernel.gram_row(key, index) for key in keys] == [0, 0, 2, 0, 2]
