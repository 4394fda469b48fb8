"""service.app over a real socket, with a classifier that answers as the test wants."""

import json
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from service import schemas
from service.problems import KINDS
from tests.fakes import FakeClassifier
from tests.serving import serving, until_ready

SECRET = "kestrel"
JSON = {"Content-Type": "application/json"}
TEXTS = ["他说我的快递丢了，要给我理赔。", "They froze my account and wanted a fee.", "😀 ﾊﾞ ½"]


@pytest.fixture(scope="module")
def fake() -> FakeClassifier:
    return FakeClassifier()


@pytest.fixture(scope="module")
def client(fake: FakeClassifier) -> Iterator[httpx.Client]:
    with serving(fake, body_limit=100_000, text_limit=1_000, batch_limit=20) as client:
        yield client


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The answer is this problem, whole and of the right media type; returns it."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    schemas.ProblemBody.model_validate(body)
    assert body["code"] == code
    assert body["status"] == status == KINDS[code].status
    assert body["title"] == KINDS[code].title
    assert body["type"] == f"/problems/{code}"
    return body


@pytest.mark.parametrize("text", TEXTS)
def test_classify_answers_the_prediction(client: httpx.Client, fake: FakeClassifier, text: str) -> None:
    """One text is answered by the classifier's prediction as a JSON object, the text unchanged."""
    answer = client.post("/v1/classify", json={"text": text})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert fake.seen[-1] == [text]
    assert answer.json() == fake.classify([text])[0].as_dict()
    schemas.Prediction.model_validate_json(answer.content)


def test_batch_equals_singles_in_order(client: httpx.Client, fake: FakeClassifier) -> None:
    """A batch is answered as each of its texts alone, in the same order."""
    answer = client.post("/v1/classify/batch", json={"texts": TEXTS})
    assert answer.status_code == 200
    singles = [client.post("/v1/classify", json={"text": text}).json() for text in TEXTS]
    assert answer.json() == {
        "predictions": singles,
        "model": fake.manifest.version,
        "taxonomy": fake.taxonomy.version,
    }
    schemas.BatchAnswer.model_validate_json(answer.content)


def test_taxonomy_is_the_whole_tree(client: httpx.Client, fake: FakeClassifier) -> None:
    """The taxonomy route answers the tree that the classifier uses."""
    answer = client.get("/v1/taxonomy")
    schemas.Taxonomy.model_validate_json(answer.content)
    assert answer.json() == json.loads(json.dumps(fake.taxonomy.as_dict()))


def test_model_is_the_manifest(client: httpx.Client, fake: FakeClassifier) -> None:
    """The model route answers the manifest of the classifier."""
    answer = client.get("/v1/model")
    schemas.Model.model_validate_json(answer.content)
    assert answer.json() == json.loads(json.dumps(fake.manifest.as_dict()))


ONE = [
    (b"", 400, "body_not_json", None),
    (b"{", 400, "body_not_json", None),
    (b"{'text': 'kestrel'}", 400, "body_not_json", None),
    (b'{"text": "kestrel"} kestrel', 400, "body_not_json", None),
    (b'{"text": "kestrel\n"}', 400, "body_not_json", None),
    (b'{"text": NaN, "kestrel": 1}', 400, "body_not_json", None),
    (b'{"text": -Infinity}', 400, "body_not_json", None),
    (b'{"text": ' + b"1" * 5000 + b"}", 400, "body_not_json", None),
    (b'{"text": "kestrel\xff"}', 400, "body_not_utf8", None),
    (b'{"text": "kestrel\xed\xa0\x80"}', 400, "body_not_utf8", None),
    ('{"text": "kestrel"}'.encode("utf-16"), 400, "body_not_utf8", None),
    (b"[" * 90_000, 400, "body_too_deep", None),
    (b'{"":' * 90, 400, "body_too_deep", None),
    (b'{"":' * 20_000, 400, "body_too_complex", None),
    (b'{"text": [' + b"1," * 9_000 + b"1]}", 400, "body_too_complex", None),
    (b'{"text": [' + b"1" * 17_000 + b"]}", 400, "body_too_complex", None),
    (b'{"text": "kestrel", "text": "b"}', 400, "key_doubled", None),
    (b'{"text": "kestrel", "te\\u0078t": "b"}', 400, "key_doubled", None),
    (b'{"text": {"kestrel": 1, "kestrel": 2}}', 400, "key_doubled", None),
    (b"null", 422, "body_not_object", ""),
    (b'["kestrel"]', 422, "body_not_object", ""),
    (b'"kestrel"', 422, "body_not_object", ""),
    (b"{}", 422, "field_missing", "/text"),
    (b'{"kestrel": 1}', 422, "field_missing", "/text"),
    (b'{"text": "a", "kestrel": 1}', 422, "field_unknown", ""),
    (b'{"text": null}', 422, "not_a_string", "/text"),
    (b'{"text": 1e999}', 422, "not_a_string", "/text"),
    (b'{"text": ["kestrel"]}', 422, "not_a_string", "/text"),
    (b'{"text": ""}', 422, "blank", "/text"),
    (b'{"text": " \\u3000\\n"}', 422, "blank", "/text"),
    (b'{"text": "kestrel\\u0000"}', 422, "nul", "/text"),
    (b'{"text": "kestrel\\ud800"}', 422, "lone_surrogate", "/text"),
    (b'{"text": "\\ude00\\ud83d kestrel"}', 422, "lone_surrogate", "/text"),
    (b'{"text": "kestrel' + b"a" * 1_000 + b'"}', 422, "too_long", "/text"),
]


@pytest.mark.parametrize(("content", "status", "code", "path"), ONE)
def test_a_bad_body_is_refused_and_not_repeated(
    client: httpx.Client,
    caplog: pytest.LogCaptureFixture,
    content: bytes,
    status: int,
    code: str,
    path: str | None,
) -> None:
    """A body that is not one good text gets its code and place, and no word of it comes back."""
    caplog.set_level(logging.DEBUG)
    answer = client.post("/v1/classify", content=content, headers=JSON)
    body = assert_problem(answer, status, code)
    if path is None:
        assert "errors" not in body
    else:
        assert body["errors"][0] == {"path": path, "code": code}
    assert SECRET not in answer.text + str(answer.headers) + caplog.text


def test_every_fault_of_an_object_is_named(client: httpx.Client) -> None:
    """A missing and an unknown field are both in errors, the unknown one without its name."""
    body = assert_problem(client.post("/v1/classify", json={SECRET: ""}), 422, "field_missing")
    assert body["errors"] == [
        {"path": "/text", "code": "field_missing"},
        {"path": "", "code": "field_unknown"},
    ]


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        ("kestrel", "texts_not_list"),
        ({"0": "kestrel"}, "texts_not_list"),
        (None, "texts_not_list"),
        ([], "texts_empty"),
        (["kestrel"] * 21, "texts_too_many"),
    ],
)
def test_a_bad_list_is_refused(client: httpx.Client, texts: object, code: str) -> None:
    """Texts that are no list, or too few or too many, refuse the batch."""
    answer = client.post("/v1/classify/batch", json={"texts": texts})
    body = assert_problem(answer, 422, code)
    assert body["errors"] == [{"path": "/texts", "code": code}]
    assert SECRET not in answer.text


def test_one_bad_text_refuses_the_batch(client: httpx.Client, fake: FakeClassifier) -> None:
    """Nothing of a batch is classified where a text is bad, and each bad one is named by index."""
    before = len(fake.seen)
    texts = ["kestrel", " ", 3, "kestrel\0", "kestrel" * 200, "fine"]
    answer = client.post("/v1/classify/batch", json={"texts": texts})
    body = assert_problem(answer, 422, "blank")
    assert body["errors"] == [
        {"path": "/texts/1", "code": "blank"},
        {"path": "/texts/2", "code": "not_a_string"},
        {"path": "/texts/3", "code": "nul"},
        {"path": "/texts/4", "code": "too_long"},
    ]
    assert SECRET not in answer.text
    assert len(fake.seen) == before


def test_limits_are_inclusive_and_count_code_points(client: httpx.Client) -> None:
    """A text of exactly the limit, in astral characters, and a batch of exactly the limit pass."""
    assert client.post("/v1/classify", json={"text": "😀" * 1_000}).status_code == 200
    assert client.post("/v1/classify/batch", json={"texts": ["a"] * 20}).status_code == 200


def test_text_and_texts_do_not_mix(client: httpx.Client) -> None:
    """Each route knows only its own field."""
    both = {"text": "a", "texts": ["a"]}
    for path in ("/v1/classify", "/v1/classify/batch"):
        assert_problem(client.post(path, json=both), 422, "field_unknown")


@pytest.mark.parametrize(
    "kind",
    ["", "text/plain", "text/json", "application/json; charset=gbk", "multipart/form-data"],
)
def test_only_json_is_read(client: httpx.Client, kind: str) -> None:
    """A body that is not declared as JSON in UTF-8 is refused whatever it is."""
    answer = client.post("/v1/classify", content=b'{"text":"a"}', headers={"Content-Type": kind})
    assert_problem(answer, 415, "content_type_unsupported")
    assert answer.headers["accept"] == "application/json"


@pytest.mark.parametrize("kind", ["application/json;charset=utf-8", 'Application/JSON; charset="UTF-8"'])
def test_json_may_name_its_charset(client: httpx.Client, kind: str) -> None:
    """UTF-8 may be named in any case, quoted or not."""
    answer = client.post("/v1/classify", content=b'{"text":"a"}', headers={"Content-Type": kind})
    assert answer.status_code == 200


def test_a_compressed_body_is_refused(client: httpx.Client) -> None:
    """Content-Encoding is not undone: it could blow a small body up beyond every limit."""
    answer = client.post("/v1/classify", content=b"x", headers=JSON | {"Content-Encoding": "gzip"})
    assert_problem(answer, 415, "content_encoding_unsupported")
    assert answer.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("chunked", [False, True])
def test_the_body_limit_counts_what_arrives(client: httpx.Client, chunked: bool) -> None:
    """A body of the limit passes and one byte more does not, with Content-Length or without."""
    good = b'{"text":"a"}'.ljust(100_000)
    for content, status in ((good, 200), (good + b" ", 413)):
        sent = iter([content[:50], content[50:]]) if chunked else content
        answer = client.post("/v1/classify", content=sent, headers=JSON)
        assert answer.status_code == status
    assert_problem(answer, 413, "body_too_large")


def test_an_endless_body_is_cut_off(client: httpx.Client) -> None:
    """A client that sends far too much gets the answer, or a closed door, and not our memory."""
    endless = (b" " * 65_536 for _ in range(2_000))
    try:
        answer = client.post("/v1/classify", content=endless, headers=JSON)
    except httpx.TransportError:
        return
    assert_problem(answer, 413, "body_too_large")


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v1/classify/", "//v1/classify", "/docs/../settings.py", "/kestrel", "/%00"],
)
def test_an_unknown_path_is_a_problem(client: httpx.Client, path: str) -> None:
    """A path that is not there is a 404 problem that does not repeat it."""
    answer = client.get(path)
    assert_problem(answer, 404, "not_found")
    assert SECRET not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/classify", "POST"),
        ("OPTIONS", "/v1/classify", "POST"),
        ("PUT", "/v1/classify/batch", "POST"),
        ("DELETE", "/v1/model", "GET, HEAD"),
        ("POST", "/openapi.json", "GET, HEAD"),
        ("TRACE", "/health/live", "GET, HEAD"),
        ("KESTREL", "/docs", "GET, HEAD"),
    ],
)
def test_a_wrong_method_says_which_are_allowed(
    client: httpx.Client, method: str, path: str, allow: str
) -> None:
    """A method that a path lacks is a 405 problem with Allow."""
    answer = client.request(method, path)
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == allow


def test_head_is_get_without_the_body(client: httpx.Client) -> None:
    """HEAD answers the headers of GET and nothing more."""
    for path in ("/health/live", "/v1/model", "/docs", "/openapi.json", "/nothing"):
        head, get = client.head(path), client.get(path)
        assert head.status_code == get.status_code
        assert head.headers["content-length"] == get.headers["content-length"]
        assert head.content == b""


def test_a_failure_is_a_problem_and_its_message_stays_in(caplog: pytest.LogCaptureFixture) -> None:
    """An exception that quotes a text is answered as 500 and logged by type and place only."""
    fake = FakeClassifier()
    with serving(fake) as client:
        try:
            raise KeyError(SECRET)
        except KeyError as cause:
            fake.error = ValueError(f"cannot place {SECRET!r}")
            fake.error.__cause__ = cause
        single = client.post("/v1/classify", json={"text": SECRET})
        batch = client.post("/v1/classify/batch", json={"texts": [SECRET]})
        for answer in (single, batch):
            assert_problem(answer, 500, "internal_error")
            assert SECRET not in answer.text
        fake.error = None
        assert client.post("/v1/classify", json={"text": "a"}).status_code == 200
    assert "internal_error: ValueError at" in caplog.text
    assert "after KeyError at" in caplog.text
    assert "fakes.py:" in caplog.text
    assert SECRET not in caplog.text


def test_the_service_is_ready_once_it_has_warmed_up() -> None:
    """Until the model's first answer the service is alive, not ready, and says when to retry."""
    fake = FakeClassifier()
    fake.open.clear()
    with serving(fake, ready=False) as client:
        assert client.get("/health/live").json() == {"status": "live"}
        for answer in (
            client.get("/health/ready"),
            client.post("/v1/classify", json={"text": "a"}),
            client.post("/v1/classify/batch", json={"texts": ["a"]}),
        ):
            assert_problem(answer, 503, "not_ready")
            assert int(answer.headers["retry-after"]) > 0
        assert client.get("/v1/model").status_code == 200
        fake.open.set()
        until_ready(client)
        ready = {"status": "ready", "model": fake.manifest.version, "model_refused": False}
        assert client.get("/health/ready").json() == ready
        assert client.post("/v1/classify", json={"text": "a"}).status_code == 200


def test_a_model_that_fails_is_not_alive(caplog: pytest.LogCaptureFixture) -> None:
    """Where the warm-up fails nothing is ready or alive, and the log says why."""
    with serving(FakeClassifier(error=RuntimeError("no tables")), ready=False) as client:
        deadline = time.monotonic() + 10
        while client.get("/health/live").status_code == 200 and time.monotonic() < deadline:
            time.sleep(0.02)
        for path in ("/health/live", "/health/ready"):
            assert_problem(client.get(path), 503, "model_failed")
        assert_problem(client.post("/v1/classify", json={"text": "a"}), 503, "model_failed")
    assert "model_failed" in caplog.text
    assert "no tables" in caplog.text


def test_a_long_batch_does_not_hold_up_others() -> None:
    """While batches are classified other requests are answered; the batches are finished then."""
    fake = FakeClassifier()
    with serving(fake, threads=2) as client, ThreadPoolExecutor(4) as pool:
        fake.open.clear()
        batches = [pool.submit(client.post, "/v1/classify/batch", json={"texts": ["a"]}) for _ in range(4)]
        long = pool.submit(client.post, "/v1/classify", json={"text": "a" * 20_000})
        for _ in range(20):
            assert client.get("/health/ready").status_code == 200
        assert not any(batch.done() for batch in [*batches, long])
        fake.open.set()
        assert [future.result().status_code for future in [*batches, long]] == [200] * 5


def test_every_code_is_explained_where_type_points(client: httpx.Client) -> None:
    """The `type` of every problem leads to what the code means."""
    for code, kind in KINDS.items():
        answer = client.get(f"/problems/{code}")
        schemas.ProblemKind.model_validate_json(answer.content)
        assert answer.json()["title"] == kind.title
    assert_problem(client.get("/problems/kestrel"), 404, "not_found")
