"""service.strict: hostile JSON costs little, and none of what is good is lost."""

import json
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import strict
from service.problems import Problem
from tests.test_serve import served

SIZE = 8 * 1024 * 1024  # the default limit of a body


def filled(unit: bytes) -> bytes:
    """A body of nearly eight megabytes that repeats the unit in a list."""
    return b'{"texts":[' + b",".join([unit] * ((SIZE - 20) // (len(unit) + 1))) + b"]}"


# Seconds that Python's parser alone held everybody up for, on two cores, in brackets.
HOSTILE = {
    "many lists": filled(b"[]"),  # (2.0)
    "many objects": filled(b'{"a":1}'),  # (1.7)
    "deep lists": filled(b"[" * 900 + b"]" * 900),  # (3.1)
    "many numbers": filled(b"1"),  # (0.8)
    "long numbers": filled(b"1" * 4_000),  # (0.6)
    "short strings": filled(b'""'),  # (0.2)
    "brackets": b"[" * (SIZE - 1),
    "words": filled(b"null"),
    "escaped quotes": b'{"texts":["' + b'\\"' * (SIZE // 2 - 20) + b'"]}',
    "escaped backslashes": b'{"texts":["' + b"\\\\" * (SIZE // 2 - 20) + b'"]}',
}


def test_others_are_answered_while_hostile_bodies_are_read(small_model: Path, tmp_path: Path) -> None:
    """While eight megabytes of hostile JSON come in one after the other, nobody else waits for long."""
    paths = ("/v1/classify", "/v1/classify/batch", "/v1/reports", f"/v1/reports/{'0' * 32}/review")
    with served(tmp_path / "log", RUSE_MODELS=str(small_model)) as it:
        done, codes, slowest = threading.Event(), set(), 0.0

        def attack() -> None:
            with httpx.Client(base_url=it.client.base_url, trust_env=False, timeout=60) as client:
                for at, body in enumerate(HOSTILE.values()):
                    path = paths[at % len(paths)]
                    method = "PUT" if path.endswith("review") else "POST"
                    headers = {"Content-Type": "application/json"}
                    codes.add(client.request(method, path, content=body, headers=headers).json()["code"])
            done.set()

        thread = threading.Thread(target=attack)
        thread.start()
        asked = 0
        while not done.is_set():
            began = time.perf_counter()
            assert it.client.post("/v1/classify", json={"text": "They froze my account."}).status_code == 200
            slowest = max(slowest, time.perf_counter() - began)
            asked += 1
        thread.join()
    assert codes == {"body_too_deep", "body_too_complex", "too_long", "field_missing"}
    assert asked > 20
    assert slowest < 1.5  # seconds; the parser alone took twice that, on an idle machine


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_is_read_or_refused_at_once(name: str) -> None:
    """No body of eight megabytes holds the interpreter for long, whatever it is made of."""
    began = time.process_time()
    with suppress(Problem):
        strict.read(HOSTILE[name], 10_000)
    assert time.process_time() - began < 0.3


@given(st.lists(st.text(alphabet='\\"[]{},:1 \n贷款', max_size=9), max_size=20), st.booleans())
def test_what_stands_in_strings_does_not_count(strings: list[str], escaped: bool) -> None:
    """Brackets, commas, quotes and backslashes inside strings are nobody's nesting."""
    body = json.dumps({"texts": strings * 9}, ensure_ascii=escaped).encode()
    assert strict.read(body, 200) == {"texts": strings * 9}


@given(st.text(alphabet='\\"[]{},:1u0 ', max_size=40))
def test_nothing_gets_past_the_bounds(text: str) -> None:
    """What the parser takes has no more strings, commas and brackets than were counted."""
    try:
        value = strict.read(text.encode(), 2)
    except Problem:
        return

    def count(value: object) -> int:
        if isinstance(value, list):
            return sum(map(count, value))
        if isinstance(value, dict):
            return len(value) + sum(map(count, value.values()))
        return isinstance(value, str)

    assert count(value) <= 2
