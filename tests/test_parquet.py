"""service.parquet: columns pass with their types, whatever the shape of the file."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model import Classifier
from service import parquet
from service.arrow import Columns
from service.files import BadFile, Options, find, format_of
from tests.fakes import ColumnsClassifier
from tests.relabelling import relabel_here


@pytest.fixture(scope="module")
def stub() -> Classifier:
    return ColumnsClassifier()


def table(rows: int) -> pa.Table:
    """A table with columns of many types."""
    day = datetime(2026, 1, 2, tzinfo=UTC)
    schema = pa.schema(
        [
            pa.field("id", pa.uint32(), nullable=False, metadata={b"k": b"v"}),
            ("text", pa.large_string()),
            ("at", pa.timestamp("us", "Asia/Shanghai")),
            ("sum", pa.decimal128(12, 2)),
            ("tags", pa.list_(pa.string())),
            ("deep", pa.struct([("a", pa.int8()), ("b", pa.binary())])),
            ("kind", pa.dictionary(pa.int32(), pa.string())),
            ("half", pa.float16()),
        ],
        metadata={b"owner": b"desk"},
    )
    made = [
        [*range(rows)], [f"my loan {i} never came" if i % 7 else None for i in range(rows)], [day] * rows,
        [Decimal("1.10")] * rows, [["x", None]] * rows, [{"a": 1, "b": b"\xff"}] * rows, ["k"] * rows,
        [None] * rows,
    ]  # fmt: skip
    return pa.table([pa.array(v, f.type) for v, f in zip(made, schema, strict=True)], schema=schema)


@pytest.mark.parametrize(("group", "parts"), [(10, 3), (1_000, 10), (100_000, 16)])
def test_columns_pass_with_their_types(group: int, parts: int, tmp_path: Path, stub: Classifier) -> None:
    """Small row groups are put together, large ones cut; the columns are the same and in order."""
    given = table(250 if group == 10 else 1_000 if group == 1_000 else 3_000)
    source = tmp_path / "a.parquet"
    pq.write_table(given, source, row_group_size=group, compression="gzip")
    made, diff = relabel_here(source, tmp_path / "out", Options(Columns(id="id"), chunk=100), stub)
    assert len(made) == parts
    found = pa.concat_tables([pq.read_table(part) for part in made])
    assert found.schema.remove_metadata().names[:8] == given.schema.names
    assert pq.read_schema(made[0]).metadata[b"owner"] == b"desk"
    assert found.select(given.schema.names).equals(given)
    assert found.field("id").equals(given.field("id"))
    assert pq.ParquetFile(made[0]).metadata.row_group(0).column(0).compression == "GZIP"
    assert diff.errors == {"no_text": len(range(0, given.num_rows, 7))}


def test_bytes_that_are_no_text_pass(
    tmp_path: Path, stub: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A string column whose bytes are not UTF-8 goes through, batch by batch, with an error in its row."""
    monkeypatch.setattr(parquet, "BATCH_ROWS", 256)
    words = pa.array([b"my loan"] * 600 + [b"\xff\xfe"]).view(pa.string())
    pq.write_table(pa.table({"text": words}), tmp_path / "a.parquet")
    (part,), diff = relabel_here(tmp_path / "a.parquet", tmp_path / "out", Options(), stub)
    assert diff.errors == {"not_decodable": 1}
    assert pq.read_table(part)["text"].combine_chunks().view(pa.binary())[600].as_py() == b"\xff\xfe"


def test_long_texts_behind_a_dictionary_come_in_small_batches(tmp_path: Path) -> None:
    """Rows that are few bytes in the file and many when read are read a bounded number of bytes at a time."""
    long = pa.array(["x" * 20_000, "y" * 20_000]).take(pa.array([0, 1] * 2_000))
    pq.write_table(pa.table({"text": long}), tmp_path / "a.parquet")
    (file,) = find(tmp_path / "a.parquet")
    (chunk,) = parquet.Parquet().chunks(file, Options())
    sizes = [batch.nbytes for batch in parquet._read(pq.ParquetFile(file.path), chunk)]
    assert sum(sizes) > 4_000 * 20_000
    assert max(sizes) <= 1.01 * parquet.BATCH_BYTES


def test_an_empty_file_gives_an_empty_part(tmp_path: Path, stub: Classifier) -> None:
    """No rows in, no rows out, but all columns."""
    pq.write_table(table(0), tmp_path / "a.parquet")
    (part,), diff = relabel_here(tmp_path / "a.parquet", tmp_path / "out", Options(), stub)
    assert (diff.rows, len(pq.read_schema(part).names)) == (0, 20)


def test_folders_hold_columns(tmp_path: Path, stub: Classifier) -> None:
    """What names of folders say can be the old label; the parts lie in folders of the same names."""
    for was in ("fake_loan", "romance"):
        folder = tmp_path / "in" / "year=2025" / f"was={was}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"text": ["my loan never came"]}), folder / "x.parquet")
    (tmp_path / "in" / "_SUCCESS").touch()
    options = Options(Columns(label="was"))
    parts, diff = relabel_here(tmp_path / "in", tmp_path / "out", options, stub)
    assert [part.relative_to(tmp_path / "out").as_posix() for part in parts] == [
        "year=2025/was=fake_loan/part-00000-00000.parquet",
        "year=2025/was=romance/part-00001-00000.parquet",
    ]
    assert [pq.ParquetFile(part).read()["changed"].to_pylist() for part in parts] == [[False], [True]]
    assert "was" not in pq.ParquetFile(parts[0]).schema_arrow.names
    whole = pq.read_table(tmp_path / "out")
    assert sorted(map(str, whole["was"].to_pylist())) == ["fake_loan", "romance"]
    assert diff.rows == 2


def test_damage_is_told_of(tmp_path: Path, stub: Classifier) -> None:
    """A file that is none, that was cut off, or whose pages are broken is bad, with the reason."""
    source = tmp_path / "a.parquet"
    pq.write_table(table(2_000), source, compression="zstd")
    content = source.read_bytes()
    for number, broken in enumerate((b"PAR1", content[:-50], content[:60] + bytes(400) + content[460:])):
        source.write_bytes(broken)
        with pytest.raises(BadFile):
            relabel_here(source, tmp_path / f"out{number}", Options(), stub)


def test_a_sample_is_spread(tmp_path: Path) -> None:
    """A sample takes the heads of ten row groups, and its weight is its share of the file."""
    pq.write_table(table(2_000), tmp_path / "a.parquet", row_group_size=100)
    (file,) = find(tmp_path / "a.parquet")
    taken = list(format_of(file).sample(file, Options(chunk=50)))
    assert [chunk.first for chunk in taken] == list(range(1, 2_000, 200))
    assert sum(chunk.weight for chunk in taken) == pytest.approx(file.size * 50 / 2_000, rel=0.05)
