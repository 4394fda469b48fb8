"""The tree that ships, and what loading says of a tree that is wrong."""

import json
import pickle
import re
from pathlib import Path

import pytest

from model import taxonomy
from model.errors import ModelError, TaxonomyError

CORE = {
    "fake_loan",
    "customer_service_impersonation",
    "fake_investment",
    "part_time_job",
    "online_gambling",
    "law_enforcement_impersonation",
}

SMALL = """
version = '7.1'
severities = { 1 = 'a', 2 = 'b', 3 = 'c', 4 = 'd', 5 = 'e' }

[region.elsewhere]
name = { zh-Hans = '别处', zh-Hant = '別處', en = 'elsewhere' }
call = { zh-Hans = '报警', zh-Hant = '報警', en = 'tell the police' }
credit = { zh-Hans = '机构', zh-Hant = '機構', en = 'the bureau' }
consumer = { zh-Hans = '机构', zh-Hant = '機構', en = 'the authority' }

[region.XX]
name = { zh-Hans = '此处', zh-Hant = '此處', en = 'here' }
call = { zh-Hans = '拨打 110', zh-Hant = '撥打 110', en = 'call 110' }
credit = { zh-Hans = '甲', zh-Hant = '甲', en = 'Bureau A' }
consumer = { zh-Hans = '乙', zh-Hant = '乙', en = 'Authority B' }

[[phone]]
number = '110'
region = 'XX'
owner = { zh-Hans = '警察', zh-Hant = '警察', en = 'police' }
use = { zh-Hans = '报警', zh-Hant = '報警', en = 'reports' }
checked_on = 2026-01-31

[[category]]
id = 'swindle'
names = { zh-Hans = '骗', zh-Hant = '騙', en = 'Swindle' }
severity = 3
definition = { en = 'a swindle', zh-Hans = '骗' }
includes = ['one']
excludes = ['another']
cues = ['被骗了']
advice = { zh-Hans = '停。{call}', zh-Hant = '停。{call}', en = 'Stop. {call}' }

[[category.scheme]]
id = 'coin_trick'
names = { zh-Hans = '硬币', zh-Hant = '硬幣', en = 'Coin trick' }
definition = { en = 'a trick', zh-Hans = '戏法' }
includes = ['coins']
excludes = ['notes']
cues = ['the coin was gone']

[crosswalk.theirs]
title = 'Theirs'
owner = 'They'
checked_on = 2026-01-31
labels = { 'trickery' = 'coin_trick', 'weather' = { reason = 'no fraud' } }
"""


@pytest.fixture(scope="module")
def shipped() -> taxonomy.Taxonomy:
    return taxonomy.load()


def load(text: str, folder: Path) -> taxonomy.Taxonomy:
    path = folder / "taxonomy.toml"
    path.write_text(text, "utf-8")
    return taxonomy.load(path)


def faults(text: str, folder: Path) -> tuple[str, ...]:
    with pytest.raises(TaxonomyError) as caught:
        load(text, folder)
    return caught.value.faults


def nodes(tree: taxonomy.Taxonomy) -> list[taxonomy.Category | taxonomy.Scheme]:
    return [node for category in tree.categories for node in (category, *category.schemes)]


def test_size(shipped: taxonomy.Taxonomy) -> None:
    """There are 20 categories and 64 schemes, the core categories among them, `not_fraud` last."""
    assert len(shipped.category_ids) == len(set(shipped.category_ids)) == 20
    assert len(shipped.scheme_ids) == len(set(shipped.scheme_ids)) == 64
    assert set(shipped.category_ids) > CORE
    assert shipped.category_ids[-1] == "not_fraud"


def test_columns(shipped: taxonomy.Taxonomy) -> None:
    """The index of the category, scheme by scheme, follows the order of the file."""
    owners = [shipped.category_ids[at] for at in shipped.category_index]
    expected = [category.id for category in shipped.categories for _ in category.schemes]
    assert owners == expected
    assert sorted(shipped.category_index) == list(shipped.category_index)
    assert shipped.scheme_ids[:2] == ("loan_upfront_fee", "predatory_loan_app")
    assert shipped.scheme_ids[-1] == "unrelated_message"


def test_epidemic(shipped: taxonomy.Taxonomy) -> None:
    """The three epidemic schemes carry the theme, and nothing else does."""
    themed = {node.id for node in nodes(shipped) if node.theme == "epidemic"}
    assert themed == {"medical_supplies", "health_authority_call", "epidemic_relief"}
    assert {node.theme for node in nodes(shipped)} == {None, "epidemic"}


def test_cues(shipped: taxonomy.Taxonomy) -> None:
    """Every scheme has 6 to 12 cues, at least three in Chinese and three in English."""
    for category in shipped.categories:
        for scheme in category.schemes:
            chinese = sum(bool(re.search("[一-鿿]", cue)) for cue in scheme.cues)
            assert 6 <= len(scheme.cues) <= 12, scheme.id
            assert chinese >= 3 <= len(scheme.cues) - chinese, scheme.id


def test_scripts(shipped: taxonomy.Taxonomy) -> None:
    """Names and advice in Simplified hold no Traditional characters, and the other way round."""
    simple, traditional = (
        set("贷诈骗户钱个账证电话务还这说请转银币网赌游戏疗"),
        set("貸詐騙戶錢個帳證電話務還這說請轉銀幣網賭遊戲療"),
    )
    for node in nodes(shipped):
        texts = [node.names] + ([node.advice] if isinstance(node, taxonomy.Category) else [])
        for words in texts:
            assert not set(words["zh-Hans"]) & traditional, node.id
            assert not set(words["zh-Hant"]) & simple, node.id
    spoken = [
        words for region in shipped.regions.values() for words in (region.name, *region.phrases.values())
    ]
    for words in (*spoken, *(words for phone in shipped.phones for words in (phone.owner, phone.use))):
        assert not set(words["zh-Hans"]) & traditional, words
        assert not set(words["zh-Hant"]) & simple, words


def test_excludes(shipped: taxonomy.Taxonomy) -> None:
    """Whatever a category or scheme excludes names a category or scheme that has it instead."""
    known = {*shipped.category_ids, *shipped.scheme_ids}
    for node in nodes(shipped):
        for text in node.excludes:
            homes = re.findall(r"\(([a-z_]+)\)", text)
            assert homes, f"{node.id}: {text}"
            assert known.issuperset(homes), f"{node.id}: {text}"
            assert node.id not in homes or isinstance(node, taxonomy.Category), node.id


# Words by which one knows whose authorities a text is about, beside those in the data.
TELLING = {
    "CN": ("公检法", "派出所", "公安", "人民银行", "市场监管", "消费者协会", "大陆", "12315"),
    "HK": ("警务处", "警務處", "警署", "消委会", "消委會", "香港"),
    "IN": ("印度", "India", "RBI", "NPCI", "rupee", "cybercrime.gov.in"),
    "TW": ("检警", "檢警", "警政署", "刑事局", "駐外館處", "金管會", "派出所", "臺灣", "Taiwan"),
}


@pytest.mark.parametrize("region", [*TELLING, taxonomy.ELSEWHERE])
def test_advice(shipped: taxonomy.Taxonomy, region: str) -> None:
    """In each language the advice names this region's numbers and authorities and no other's."""
    assert set(shipped.regions) == {*TELLING, taxonomy.ELSEWHERE}
    own = {phone.number for phone in shipped.phones if phone.region == region}
    assert bool(own) == (region != taxonomy.ELSEWHERE)
    for category in shipped.categories:
        for language in taxonomy.LANGUAGES:
            advice = shipped.advise(category, language, region)
            phrases = shipped.regions[region].phrases
            assert not set(advice) & {*"{}"}
            numbers = set(re.findall(r"\d{3,}", advice))
            if category.id == "not_fraud":
                assert not numbers
            else:
                assert numbers == own, (category.id, language)
                assert phrases["call"][language] in advice
            for other, words in TELLING.items():
                theirs = [shipped.regions[other].name[language], *words]
                theirs += [shipped.regions[other].phrases[key][language] for key in taxonomy.PHRASES]
                ours = [phrases[key][language] for key in taxonomy.PHRASES]
                for word in theirs:
                    if other != region and not any(word in phrase for phrase in ours):
                        assert word not in advice, (category.id, language, word)


def test_advice_of_a_region_that_is_not_there(shipped: taxonomy.Taxonomy) -> None:
    """Advice for a region that the file does not have is the general one, as `as_dict` has it."""
    first = shipped.categories[0]
    general = shipped.as_dict()["categories"][0]["advice"]
    for language in taxonomy.LANGUAGES:
        assert shipped.advise(first, language, "FR") == shipped.advise(first, language) == general[language]


def test_severity(shipped: taxonomy.Taxonomy) -> None:
    """Severity runs from 1, which only `not_fraud` has, to 5, and each level has a meaning."""
    levels = {category.id: category.severity for category in shipped.categories}
    assert [name for name, level in levels.items() if level == 1] == ["not_fraud"]
    assert max(levels.values()) == 5
    assert set(shipped.severities) == {1, 2, 3, 4, 5}


def test_phones(shipped: taxonomy.Taxonomy) -> None:
    """A number is listed once for a region, with an owner and the day it was checked."""
    places = [(phone.number, phone.region) for phone in shipped.phones]
    assert len(places) == len(set(places))
    assert ("110", "CN") in places
    assert ("18222", "HK") in places
    assert all(phone.owner and phone.checked_on.year >= 2026 for phone in shipped.phones)


@pytest.mark.parametrize(
    ("name", "size"),
    [("ccl2023_fcc", 12), ("mps_ten_types", 10), ("india_ncrp", 39), ("taiwan_165", 16)],
)
def test_crosswalk(shipped: taxonomy.Taxonomy, name: str, size: int) -> None:
    """Each foreign label goes to a category, maybe a scheme of it, or says why it goes nowhere."""
    targets = shipped.crosswalks[name].labels.values()
    parents = dict(zip(shipped.scheme_ids, shipped.category_index, strict=True))
    assert len(targets) == size
    for target in targets:
        assert (target.category is None) == (target.reason is not None)
        if target.scheme:
            assert shipped.category_ids[parents[target.scheme]] == target.category


def test_as_dict(shipped: taxonomy.Taxonomy) -> None:
    """The tree is plain JSON with the fields that the command line and the service promise."""
    tree = json.loads(json.dumps(shipped.as_dict()))
    assert tree["version"] == shipped.version
    first = tree["categories"][0]
    assert first["id"] == "fake_loan"
    assert set(first["names"]) == set(first["advice"]) == {"zh-Hans", "zh-Hant", "en"}
    assert first["severity"] == 3
    assert first["schemes"][0]["id"] == "loan_upfront_fee"
    assert [s["id"] for c in tree["categories"] for s in c["schemes"]] == [*shipped.scheme_ids]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", tree["phones"][0]["checked_on"])


def test_other_file(tmp_path: Path) -> None:
    """A taxonomy of one's own is loaded from its path, and its advice has the numbers put in."""
    tree = load(SMALL, tmp_path)
    assert tree.version == "7.1"
    assert tree.scheme_ids == ("coin_trick",)
    assert tree.advise(tree.categories[0], "en") == "Stop. tell the police"
    assert tree.advise(tree.categories[0], "en", "XX") == "Stop. call 110"
    labels = tree.crosswalks["theirs"].labels
    assert labels["trickery"] == taxonomy.Target("swindle", "coin_trick", None)
    assert labels["weather"] == taxonomy.Target(None, None, "no fraud")


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ("version = '7.1'\n", "", "the file: version is missing"),
        ("version = '7.1'", "version = 7", "the file: version must be text"),
        ("version = '7.1'", "version = '7.1'\ncolour = 1", "the file: 'colour' is unknown"),
        (", 5 = 'e'", "", "the file: severities: 5 is missing"),
        ("zh-Hant = '騙', ", "", "category swindle: names: zh-Hant is missing"),
        ("en = 'Swindle'", "en = ' Swindle'", "category swindle: names: en must be text with no"),
        ("en = 'Swindle'", "en = 'Swindle', fr = 'x'", "category swindle: names: 'fr' is unknown"),
        ("en = 'Swindle'", f"en = '{'S' * 61}'", "names: en has 61 characters, not 60 at most"),
        ("en = 'a trick', ", "", "scheme coin_trick: definition: en is missing"),
        ("severity = 3", "severity = 6", "category swindle: severity must be one of"),
        ("severity = 3", "severity = true", "category swindle: severity must be one of"),
        ("includes = ['coins']", "includes = []", "scheme coin_trick: includes must be a list"),
        ("['coins']", "['coins', 'coins']", "scheme coin_trick: includes holds a text twice"),
        ("['coins']", "['coins', 3]", "scheme coin_trick: includes 2 must be text"),
        ("id = 'coin_trick'", "id = 'swindle'", "scheme swindle: the id stands twice"),
        ("id = 'coin_trick'", "id = 'Coin'", "scheme 1: id must be lower-case"),
        ("'the coin was gone'", "'被骗了'", "scheme coin_trick: cue 1 stands elsewhere too"),
        ("'Stop. {call}'", "'Stop. Dial 110'", "swindle: advice.en: 110 does not belong to it"),
        ("'Stop. {call}'", "'Stop. {evil}'", "swindle: advice.en: in braces may stand call, credit"),
        ("'Stop. {call}'", "'Stop. {call'", "swindle: advice.en: in braces may stand call, credit"),
        ("en = 'call 110'", "en = 'call 112'", "region XX: call.en: 112 does not belong to a [[phone]]"),
        ("'tell the police'", "'call 110'", "region elsewhere: call.en: 110 does not belong to a [[phone]]"),
        ("en = 'Bureau A'", "en = '{call}'", "region XX: credit.en: in braces may stand nothing"),
        (
            "credit = { zh-Hans = '甲', zh-Hant = '甲', en = 'Bureau A' }\n",
            "",
            "region XX: credit is missing",
        ),
        ("zh-Hant = '乙', ", "", "region XX: consumer: zh-Hant is missing"),
        ("[region.XX]", "[region.Here]", "region Here: must be two capital letters"),
        ("region = 'XX'", "region = 'YY'", "phone 1: 'YY' does not stand under [region]"),
        ("[region.elsewhere]", "[region.AA]", "the file: region: elsewhere is missing"),
        ("owner = { zh-Hans = '警察', zh-Hant = '警察', en = 'police' }\n", "", "phone 1: owner is missing"),
        ("number = '110'", "number = '1-1-0'", "phone 1: number must be digits only"),
        ("2026-01-31\n\n[[c", "'2026-01-31'\n\n[[c", "phone 1: checked_on must be a date"),
        ("2026-01-31\n\n[[c", "2026-01-31T10:00:00\n\n[[c", "phone 1: checked_on must be a date"),
        ("= 'coin_trick', 'w", "= 'card_trick', 'w", "crosswalk theirs: 'trickery' goes to"),
        ("= 'coin_trick', 'w", "= ['coin_trick'], 'w", "crosswalk theirs: 'trickery' goes to"),
        ("{ reason = 'no fraud' }", "{ because = 'x' }", "'weather': reason is missing"),
        ("title = 'Theirs'", "heading = 'Theirs'", "crosswalk theirs: 'heading' is unknown"),
        ("[[category.scheme]]", "[[category.leaf]]", "category swindle: scheme is missing"),
        ("[[phone]]", "[phone]", "the file: phone must be a list that is not empty"),
    ],
)
def test_fault(tmp_path: Path, before: str, after: str, fault: str) -> None:
    """Whatever is wrong in the file is named with its place."""
    assert SMALL.count(before) == 1
    found = faults(SMALL.replace(before, after), tmp_path)
    assert any(fault in line for line in found), found
    assert all(line.startswith("taxonomy.toml: ") for line in found)


def test_all_at_once(tmp_path: Path) -> None:
    """All faults of a file are told together, each once."""
    wrong = SMALL.replace("severity = 3", "severity = 0")
    wrong = wrong.replace("zh-Hant = '硬幣', ", "").replace("'coin_trick', 'w", "'none', 'w")
    found = faults(wrong.replace("use = {", "usage = {"), tmp_path)
    assert len(found) == len(set(found)) == 5, found


def test_missing_id(tmp_path: Path) -> None:
    """A category without an id is named by its place in the file."""
    assert "taxonomy.toml: category 1: id is missing" in faults(SMALL.replace("id = 'swindle'", ""), tmp_path)


@pytest.mark.parametrize("text", ["category = [1, 2]", "category = [{}]", "x", "severities = 3"])
def test_not_a_tree(tmp_path: Path, text: str) -> None:
    """A file that is TOML but no tree, or no TOML, is refused with faults and nothing else."""
    assert faults(text, tmp_path)


def test_unreadable(tmp_path: Path) -> None:
    """A missing file and one that is not UTF-8 are refused by name."""
    with pytest.raises(TaxonomyError, match=r"none\.toml: cannot be read"):
        taxonomy.load(tmp_path / "none.toml")
    (tmp_path / "gbk.toml").write_bytes(b"version = '\xff'")
    with pytest.raises(TaxonomyError, match="is not TOML in UTF-8"):
        taxonomy.load(tmp_path / "gbk.toml")


def test_error() -> None:
    """The error is a ModelError and a ValueError with a stable code, and survives a process border."""
    error = TaxonomyError(["one", "two"])
    assert isinstance(error, ModelError)
    assert isinstance(error, ValueError)
    assert error.code == "taxonomy_invalid"
    assert str(error) == "one\ntwo"
    assert pickle.loads(pickle.dumps(error)).faults == ("one", "two")
