"""The OpenAPI description against the service, by schemathesis: single requests and whole stories.

`make prove-service` runs the same for longer.
"""

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import model
from benchmarks.prove_service import judge
from tests.serving import serving


def test_the_service_keeps_to_its_description(classifier: model.Classifier, tmp_path: Path) -> None:
    """Whatever fits or misfits the description, alone or in stories, is answered as it says."""
    with serving(classifier, text_limit=500, batch_limit=7) as client:
        run = judge(str(client.base_url), tmp_path, examples=10, seed=1)
    assert run.returncode == 0, run.stdout
    assert "Stateful" in run.stdout
    assert "20/20" in run.stdout


def test_a_batch_equals_its_singles(classifier: model.Classifier) -> None:
    """In any order and any split, with anything included, a batch is answered as its texts alone."""
    text = st.text(min_size=1, max_size=60).filter(str.strip).filter(lambda text: "\0" not in text)
    story = st.sampled_from(["快递丢了要理赔", "They froze my account.", "刷單返佣 1000", "ｌｏａｎ fee"])

    with serving(classifier) as client:

        @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.lists(text | story, min_size=1, max_size=12), st.randoms(), st.integers(1, 12))
        def check(texts: list[str], lot: object, cut: int) -> None:
            query = "?include=candidates"
            alone = {text: client.post(f"/v1/classify{query}", json={"text": text}).json() for text in texts}
            lot.shuffle(texts)  # type: ignore[attr-defined]
            for part in (texts[:cut], texts[cut:]):
                if part:
                    answer = client.post(f"/v1/classify/batch{query}", json={"texts": part}).json()
                    assert answer["predictions"] == [alone[text] for text in part]

        check()
