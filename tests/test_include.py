"""service.include: what a prediction may bring along."""

import re
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from model import Classifier
from service import schemas
from service.include import language
from tests.serving import serving
from tests.test_app import assert_problem

TEXT = "他说我的快递丢了，要给我理赔，让我打开屏幕共享。"


@pytest.fixture(scope="module")
def client(classifier: Classifier) -> Iterator[httpx.Client]:
    plain = object.__new__(Classifier)
    calibration = {k: v for k, v in classifier.manifest.calibration.items() if k != "candidates"}
    plain.__dict__ = classifier.__dict__ | {"manifest": replace(classifier.manifest, calibration=calibration)}
    with serving(plain) as client:
        yield client


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", "en"), ("zh", "zh-Hans"), ("zh-CN,zh;q=0.9,en;q=0.8", "zh-Hans"), ("zh-TW", "zh-Hant"),
        ("zh-Hant-HK, en", "zh-Hant"), ("en;q=0.2, zh-HK;q=0.9", "zh-Hant"), ("fr, en;q=0.5", "en"),
        ("fr", "en"), ("zh;q=0, en;q=0.1", "en"), ("zh;q=x", "en"), ("*", "en"), (";;,,q=", "en"),
        ("zh;q=nan, en;q=0.3", "en"),
    ],
)  # fmt: skip
def test_language(header: str, expected: str) -> None:
    """The language that the client likes best of ours is taken; English if it likes none."""
    assert language(header) == expected


def test_nothing_is_included_unasked(client: httpx.Client) -> None:
    """Without `include` the answer has the prediction's own fields only."""
    answer = client.post("/v1/classify", json={"text": TEXT})
    schemas.Prediction.model_validate_json(answer.content)
    assert "content-language" not in answer.headers


def test_everything_can_be_included(client: httpx.Client, classifier: Classifier) -> None:
    """Advice, names and phones in the client's language and of the region, evidence and candidates."""
    answer = client.post(
        "/v1/classify?include=advice,evidence&include=candidates&region=tw",
        json={"text": TEXT},
        headers={"Accept-Language": "zh-TW"},
    )
    said = answer.json()
    schemas.RichPrediction.model_validate_json(answer.content)
    assert answer.headers["content-language"] == "zh-Hant"
    assert answer.headers["vary"] == "Accept-Language"
    tree = classifier.taxonomy
    category = tree.categories[tree.category_ids.index(said["category"])]
    assert said["advice"]["text"] == tree.advise(category, "zh-Hant", "TW")
    assert said["advice"]["region"] == "TW"
    assert said["advice"]["category_name"] == category.names["zh-Hant"]
    phones = {phone["number"]: phone for phone in said["advice"]["phones"]}
    assert set(phones) == {"165", "110"}
    assert phones["165"]["use"] == "反詐騙諮詢與報案"
    assert said["evidence"]
    assert all(0 <= word["start"] < word["end"] <= len(TEXT) for word in said["evidence"])
    shares = [entry["probability"] for entry in said["candidates"]]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) >= 0.9 > sum(shares[:-1])
    assert said["candidates"][0]["category"] == said["category"]


@pytest.mark.parametrize(
    ("query", "region", "numbers"),
    [
        ("", None, set()),
        ("&region=FR", None, set()),
        ("&region=cn-31", "CN", {"96110", "12381", "110"}),
        ("&region=HK", "HK", {"18222", "999"}),
        ("&region=in", "IN", {"1930"}),
    ],
)
def test_advice_is_the_regions_own(
    client: httpx.Client, query: str, region: str | None, numbers: set[str]
) -> None:
    """Text and phones name the region's numbers only; without a region, or of another, none."""
    said = client.post(f"/v1/classify?include=advice{query}", json={"text": TEXT}).json()["advice"]
    assert said["region"] == region
    assert {phone["number"] for phone in said["phones"]} == numbers
    assert set(re.findall(r"\d{3,}", said["text"])) == numbers


def test_a_batch_includes_as_singles_do(client: httpx.Client) -> None:
    """A batch with everything included equals its texts sent alone."""
    texts = [TEXT, "They approved my loan but first I must pay a fee.", "hm"]
    query = "?include=advice,evidence,candidates&region=IN"
    batch = client.post(f"/v1/classify/batch{query}", json={"texts": texts}).json()
    singles = [client.post(f"/v1/classify{query}", json={"text": text}).json() for text in texts]
    assert batch["predictions"] == singles


@pytest.mark.parametrize(
    "query",
    ["include=kestrel", "include=advice,kestrel", "region=kestrel", "region=1", "region=", "region=CN-"],
)
def test_what_cannot_be_included_is_refused(client: httpx.Client, query: str) -> None:
    """An unknown thing to include or region is a problem that does not repeat it."""
    answer = client.post(f"/v1/classify?{query}", json={"text": TEXT})
    assert_problem(answer, 400, "query_invalid")
    assert "kestrel" not in answer.text


def test_the_model_may_have_levels(classifier: Classifier) -> None:
    """Where the calibration has levels for candidates, those at or above theirs and the first are named."""
    ids = classifier.taxonomy.category_ids
    chances = classifier.category_probabilities([TEXT])[0]
    ranked = [ids[at] for at in (-chances).argsort(kind="stable")]
    levels = dict.fromkeys(ids, 1.1) | {ranked[3]: 0.0}
    own = object.__new__(Classifier)
    calibration = {"candidates": levels}
    own.__dict__ = classifier.__dict__ | {"manifest": replace(classifier.manifest, calibration=calibration)}
    with serving(own) as client:
        said = client.post("/v1/classify?include=candidates", json={"text": TEXT}).json()
    assert [entry["category"] for entry in said["candidates"]] == [ranked[0], ranked[3]]
