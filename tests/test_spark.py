"""service.spark: Spark and the local workers say the same."""

import json
import shutil
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks import prove_relabel
from service import spark
from service.arrow import Columns
from service.files import Options
from service.labels import RelabelError
from tests.conftest import SMALL

TEXTS = [text for known in SMALL.values() for text in known] + ["", "x" * 20_001]


def test_spark_equals_local(small_model: Path, tmp_path: Path) -> None:
    """`--engine spark=local[2]` gives the rows and the diff that the local engine gives, by id."""
    pytest.importorskip("pyspark", reason="the extra [spark] is not installed")
    if shutil.which("java") is None:
        pytest.skip("there is no Java")
    source = prove_relabel.make(tmp_path / "in.parquet", 3_000, TEXTS, ("fake_loan", "romance"))
    found = prove_relabel.spark(tmp_path, source, RUSE_MODELS=str(small_model))
    assert found == {"rows": 3_000, "same_rows": True, "same_types": True, "same_report": True}
    report = json.loads((tmp_path / "spark" / "_ruse" / "report.json").read_text())
    assert set(report["errors"]) == {"blank", "too_long"}
    assert pq.ParquetDataset(tmp_path / "spark").read().num_rows == 3_000


def test_without_spark_it_says_what_to_install(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where pyspark is missing, the engine is refused with the extra that brings it."""
    monkeypatch.setitem(sys.modules, "py4j.protocol", None)
    with pytest.raises(RelabelError, match=r"ruse\[spark\]") as caught:
        spark.run("in", str(tmp_path / "out"), small_model, Options(Columns()))
    assert caught.value.code == "engine_unusable"
