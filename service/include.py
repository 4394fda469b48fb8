"""What a prediction may bring along: `?include=advice,evidence,candidates`."""

import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from model import Classifier, Prediction
from model.taxonomy import ELSEWHERE
from service.problems import Problem

KINDS = ("advice", "evidence", "candidates")
LANGUAGES = ("en", "zh-Hans", "zh-Hant")
ENOUGH = 0.90  # summed probability of the candidates where the model has no levels for them

_TRADITIONAL = ("zh-hant", "zh-tw", "zh-hk", "zh-mo")
_REGION = re.compile(r"[A-Za-z]{2}(?:-[A-Za-z0-9]{1,3})?")


class Wish:
    """What a request wants included, in which language and for which region."""

    def __init__(self, request: Request) -> None:
        """Raises Problem for what cannot be included."""
        query = request.query_params
        named = [name for value in query.getlist("include") for name in value.split(",") if name]
        if any(name not in KINDS for name in named):
            raise Problem("query_invalid", parameter="include")
        region = query.get("region")
        if region is not None and not _REGION.fullmatch(region):
            raise Problem("query_invalid", parameter="region")
        self.kinds = frozenset(named)
        self.region = region[:2].upper() if region else ELSEWHERE
        self.language = language(request.headers.get("accept-language", ""))
        self.headers = {"Content-Language": self.language, "Vary": "Accept-Language"} if named else {}

    def complete(self, classifier: Classifier, texts: list[str], said: list[Prediction]) -> list[dict]:
        """The predictions as JSON objects, with what is wished."""
        answers = [prediction.as_dict() for prediction in said]
        if "candidates" in self.kinds:
            for answer, chances in zip(answers, classifier.category_probabilities(texts), strict=True):
                answer["candidates"] = self._candidates(classifier, chances.tolist())
        if "advice" in self.kinds:
            for answer in answers:
                answer["advice"] = self._advice(classifier, answer["category"], answer["scheme"])
        if "evidence" in self.kinds:
            for answer, text in zip(answers, texts, strict=True):
                words = classifier.explain(text, answer["category"]).strongest()
                answer["evidence"] = [word._asdict() for word in words]
        return answers

    def _candidates(self, classifier: Classifier, chances: list[float]) -> list[dict[str, Any]]:
        """The likeliest category and whichever else the truth may be, likeliest first.

        Those at or above the levels of the model's calibration; where it has none, so many that
        their probabilities sum to enough.
        """
        levels = classifier.manifest.calibration.get("candidates")
        chosen: list[dict[str, Any]] = []
        total = 0.0
        for chance, category in sorted(
            zip(chances, classifier.taxonomy.categories, strict=True), key=lambda entry: -entry[0]
        ):
            joins = total < ENOUGH if levels is None else chance >= levels[category.id]
            if joins or not chosen:
                name = category.names[self.language]
                chosen.append({"category": category.id, "name": name, "probability": chance})
            total += chance
        return chosen

    def _advice(self, classifier: Classifier, category: str, scheme: str) -> Mapping[str, Any]:
        tree = classifier.taxonomy
        branch = tree.categories[tree.category_ids.index(category)]
        leaf = next(leaf for leaf in branch.schemes if leaf.id == scheme)
        region = self.region if self.region in tree.regions else ELSEWHERE
        return {
            "language": self.language,
            "category_name": branch.names[self.language],
            "scheme_name": leaf.names[self.language],
            "severity": branch.severity,
            "region": None if region == ELSEWHERE else region,
            "text": tree.advise(branch, self.language, region),
            "phones": [
                {
                    "number": phone.number,
                    "owner": phone.owner[self.language],
                    "use": phone.use[self.language],
                }
                for phone in tree.phones
                if phone.region == region
            ],
        }


def language(header: str) -> str:
    """The language of ours that an Accept-Language header (RFC 9110) likes best; English otherwise."""
    best, chosen = 0.0, LANGUAGES[0]
    for part in header[:1_000].lower().split(","):
        tag, *parameters = (piece.strip() for piece in part.split(";"))
        try:
            quality = next((float(p[2:]) for p in parameters if p.startswith("q=")), 1.0)
        except ValueError:
            continue
        ours = _ours(tag)
        if ours and quality > best:
            best, chosen = quality, ours
    return chosen


def _ours(tag: str) -> str | None:
    if tag.startswith(_TRADITIONAL):
        return "zh-Hant"
    if tag == "zh" or tag.startswith("zh-"):
        return "zh-Hans"
    return "en" if tag == "en" or tag.startswith("en-") else None
