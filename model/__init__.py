"""Ruse names the scheme behind a scam report."""

from model.artifact import Manifest
from model.classifier import Classifier, Prediction, load
from model.errors import ArtifactError, ModelError, TaxonomyError, TextError
from model.evidence import Evidence, Explanation
from model.taxonomy import Category, Scheme, Taxonomy

__all__ = [
    "ArtifactError",
    "Category",
    "Classifier",
    "Evidence",
    "Explanation",
    "Manifest",
    "ModelError",
    "Prediction",
    "Scheme",
    "Taxonomy",
    "TaxonomyError",
    "TextError",
    "load",
]
