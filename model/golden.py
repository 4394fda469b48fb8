"""Golden texts: what a model must answer before it may take over, in a service or by promotion."""

import math
from typing import Any

from model.classifier import Classifier
from model.errors import ArtifactError

WARM_UP = ("The parcel is at the station.", "快递到了驿站。")
CLOSE = 1e-3  # how far a probability of a golden text may be from what the manifest says


def check(classifier: Classifier) -> None:
    """Asks a model its golden texts, `calibration.golden` of its manifest. Raises ArtifactError.

    Each is {"text", "category"} and may have "probability", that of the category.
    """
    try:
        golden: list[dict[str, Any]] = classifier.manifest.calibration.get("golden", [])
        classifier.candidates(WARM_UP)
        classifier.explain(WARM_UP[0])
        if not all(map(math.isfinite, classifier.category_probabilities(WARM_UP).flat)):
            raise ValueError("probabilities that are no numbers")
        said = classifier.classify([entry["text"] for entry in golden]) if golden else []
        wrong = [
            at
            for at, (entry, answer) in enumerate(zip(golden, said, strict=True))
            if answer.category != entry["category"]
            or not math.isclose(
                answer.category_probability,
                entry.get("probability", answer.category_probability),
                rel_tol=0,
                abs_tol=CLOSE,
            )
        ]
    except Exception as error:  # whatever a strange model makes the kernel do, the old one serves on
        kind = type(error).__name__
        raise ArtifactError(f"the model cannot answer its golden texts ({kind})") from None
    if wrong:
        raise ArtifactError(
            f"the model answers {len(wrong)} of its {len(golden)} golden texts otherwise than its "
            "manifest says; promote it again, or another"
        )
