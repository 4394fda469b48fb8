"""The same work on a cluster: Spark reads, `classify_arrow` runs in `mapInArrow`, Spark commits.

Needs the extra [spark] and Java here, and Ruse on every node. Parquet in, Parquet out.
"""

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

import model
from model import Classifier
from service import arrow
from service.arrow import Columns
from service.diff import Diff
from service.diff_page import page
from service.files import Options
from service.labels import Labels, RelabelError
from service.manifest import FOLDER


def run(
    source: str, target: str, models: Path, options: Options, restart: bool = False, master: str | None = None
) -> dict[str, Any]:
    """Relabels the Parquet of `source` into `target`, paths or URLs that Spark reads; the report.

    `models` is a folder that every node has. Without `master`, Spark's own settings say where it
    runs. Raises RelabelError.
    """
    try:
        from py4j.protocol import Py4JError
        from pyspark.errors import AnalysisException, PySparkException
        from pyspark.sql import SparkSession
        from pyspark.sql.types import StructType
    except ImportError as error:
        raise RelabelError(
            "engine_unusable",
            "Spark is not installed; install Ruse with its extra: pip install 'ruse[spark]'",
        ) from error
    logging.getLogger("py4j").setLevel(logging.WARNING)
    columns = options.columns
    classifier = model.load(models)
    Labels(classifier.taxonomy, columns.level, columns.crosswalk)
    builder = SparkSession.builder.appName("ruse relabel")
    for name, value in settings(master).items():
        builder = builder.config(name, value)
    try:
        spark = builder.getOrCreate()
    except Exception as error:
        raise RelabelError(
            "engine_unusable",
            f"Spark does not start ({type(error).__name__}); it needs Java 17 and JAVA_HOME",
        ) from error
    try:
        spark.sparkContext.setLogLevel("ERROR")
        if (master or "").startswith("local"):  # its Python is this one, whatever `python3` is
            spark.sparkContext.pythonExec = sys.executable
        if _exists(spark, target) and not restart:
            raise RelabelError(
                "target_taken",
                f"{target}: is there already; choose another target, or --restart to replace it",
            )
        try:
            rows = spark.read.parquet(source)
        except AnalysisException as error:
            raise RelabelError("source_unusable", f"{source}: Spark finds no Parquet there") from error
        columns.check(rows.columns)
        added = ", ".join(f"`{_quoted(field.name)}` {spark_type(field.type)}" for field in columns.added())
        wanted = StructType([*rows.schema, *spark.createDataFrame([], added).schema])
        relabelled = rows.mapInArrow(Relabel(columns, models, classifier.manifest.sha256), wanted)
        relabelled.write.mode("overwrite").parquet(target)
        # A second pass over what was committed: tasks that failed and ran again count once.
        written = spark.read.parquet(target)
        found = Diff()
        for row in written.mapInArrow(Count(columns, options.with_text), "diff binary").toLocalIterator():
            found.merge(Diff.from_dict(orjson.loads(bytes(row["diff"]))))
        report = found.report(classifier.taxonomy, columns, _about(source, classifier)) | {"bad_files": {}}
        _write(spark, f"{target}/{FOLDER}/report.json", orjson.dumps(report, option=orjson.OPT_INDENT_2))
        _write(spark, f"{target}/{FOLDER}/report.html", page(report).encode())
        return report
    except (PySparkException, Py4JError) as error:
        raise RelabelError(
            "engine_failed", f"Spark gave up ({type(error).__name__}); its own log says why"
        ) from error
    finally:
        spark.stop()


def settings(master: str | None) -> Mapping[str, str]:
    """What of Spark's settings a job needs."""
    known = {"spark.sql.session.timeZone": "UTC", "spark.ui.showConsoleProgress": str(sys.stderr.isatty())}
    if master:
        known["spark.master"] = master
        if master.startswith("local"):
            known |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
            known |= {"spark.ui.enabled": "false"}
    return known


class Relabel:
    """What `mapInArrow` runs: the model is loaded once a process, then batch after batch."""

    def __init__(self, columns: Columns, models: Path, sha256: str) -> None:
        self.columns, self.models, self.sha256 = columns, models, sha256

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The batches with the added columns. Raises RelabelError where the node has another model."""
        if arrow.load(self.models).manifest.sha256 != self.sha256:
            raise RelabelError("model_changed", f"{self.models}: is another model on a node than here")
        for batch in batches:
            yield arrow.classify_arrow(batch, self.columns, self.models)


class Count:
    """What `mapInArrow` runs over the output: one diff of all rows of a task, as JSON."""

    def __init__(self, columns: Columns, with_text: bool) -> None:
        self.columns, self.with_text = columns, with_text

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """One row."""
        found = Diff()
        for batch in batches:
            # The place of a row says nothing on a cluster.
            ids = None if self.columns.id else pa.nulls(len(batch))
            found.add(batch, self.columns, ids, self.with_text)
        yield pa.record_batch({"diff": pa.array([orjson.dumps(found.as_dict())], pa.binary())})


def _about(source: str, classifier: Classifier) -> dict[str, Any]:
    return {
        "source": source,
        "model": classifier.manifest.version,
        "taxonomy": classifier.taxonomy.version,
    }


def spark_type(kind: pa.DataType) -> str:
    """What Spark calls the type of an added column."""
    return {"string": "string", "float": "float", "bool": "boolean"}[str(kind)]


def _quoted(name: str) -> str:
    return name.replace("`", "``")


def _exists(spark: Any, target: str) -> bool:
    path = spark._jvm.org.apache.hadoop.fs.Path(target)
    return bool(path.getFileSystem(spark._jsc.hadoopConfiguration()).exists(path))


def _write(spark: Any, target: str, content: bytes) -> None:
    """Writes a file where the target is, whatever file system that is."""
    path = spark._jvm.org.apache.hadoop.fs.Path(target)
    stream = path.getFileSystem(spark._jsc.hadoopConfiguration()).create(path, True)
    try:
        stream.write(bytearray(content))
    finally:
        stream.close()
