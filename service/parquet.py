"""Parquet: chunks are runs of rows, read and written in batches, so that memory stays flat."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from model import Classifier
from service import arrow
from service.diff import Diff
from service.files import BadFile, Chunk, File, Options

BATCH_ROWS, BATCH_BYTES = 32_768, 16 * 1024 * 1024
FIRST_ROWS = 64  # that tell how wide rows are
# To begin inside a row group is to decode what is before it, so a huge one is not cut finely.
MOST_CUTS = 16
BUFFER = 1024 * 1024
PLACES = 10  # of a sample


class Parquet:
    """Parquet in, Parquet out, with the compression of the file; types pass unchanged."""

    def suffix(self, file: File) -> str:
        """How names of its parts end."""
        return ".parquet"

    def names(self, file: File, options: Options) -> list[str]:
        """Its columns, those in the names of its folders too."""
        with _open(file) as parquet:
            return [*parquet.schema_arrow.names, *file.partition]

    def chunks(self, file: File, options: Options) -> Iterator[Chunk]:
        """Small row groups together, large ones in pieces."""
        with _open(file) as parquet:
            sizes = [parquet.metadata.row_group(at).num_rows for at in range(parquet.num_row_groups)]
        weight = file.size / max(sum(sizes), 1)
        number, first = 0, 1
        for groups in _runs(sizes, options.chunk):
            rows = sum(sizes[at] for at in groups)
            cuts = min(max(-(-rows // options.chunk), 1), MOST_CUTS) if len(groups) == 1 else 1
            edges = [rows * at // cuts for at in range(cuts + 1)]
            for start, end in pairwise(edges):
                yield Chunk(file, number, first, round((end - start) * weight), (groups, start, end))
                number, first = number + 1, first + end - start

    def sample(self, file: File, options: Options) -> Iterator[Chunk]:
        """The first rows of at most ten row groups."""
        with _open(file) as parquet:
            sizes = [parquet.metadata.row_group(at).num_rows for at in range(parquet.num_row_groups)]
        chosen = range(len(sizes))[:: max(-(-len(sizes) // PLACES), 1)]
        for at in chosen:
            rows = min(sizes[at], max(options.chunk // len(chosen), 1))
            weight = round(rows * file.size / max(sum(sizes), 1))
            yield Chunk(file, at, sum(sizes[:at]) + 1, weight, ((at,), 0, rows))

    def relabel(
        self, chunk: Chunk, options: Options, classifier: Classifier, target: Path | None, diff: Diff
    ) -> None:
        """Classifies a chunk, counts it, and writes its part."""
        columns = options.columns
        with _open(chunk.file) as parquet, ExitStack() as stack:
            kept = parquet.schema_arrow
            schema = pa.schema([*kept, *columns.added()], metadata=kept.metadata)
            writer = None
            if target is not None:
                codec = _codec(parquet)
                writer = stack.enter_context(pq.ParquetWriter(target, schema, compression=codec))
            first = chunk.first
            for batch in _read(parquet, chunk):
                # What the names of folders say is read like a column, but not written.
                inner = [pa.repeat(value, len(batch)) for value in chunk.file.partition.values()]
                whole = pa.RecordBatch.from_arrays(
                    [*batch.columns, *inner], names=[*batch.schema.names, *chunk.file.partition]
                )
                found = arrow.relabel(whole, columns, classifier)
                ids = None if columns.id else pa.array(np.arange(first, first + len(batch)))
                diff.add(found, columns, ids, options.with_text)
                first += len(batch)
                if writer is not None:
                    arrays = [*batch.columns, *found.columns[len(whole.schema) :]]
                    writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))


def _open(file: File) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file.path, pre_buffer=False, buffer_size=BUFFER)
    except OSError as error:
        raise BadFile(error.strerror or "it is damaged") from error
    except pa.ArrowException as error:
        raise BadFile("it is no Parquet, or was not written to its end") from error


def _runs(sizes: list[int], chunk: int) -> Iterator[tuple[int, ...]]:
    """Row groups to be read together: as many as make a chunk, at least one."""
    run: list[int] = []
    rows = 0
    for at, size in enumerate(sizes):
        if run and rows + size > chunk:
            yield tuple(run)
            run, rows = [], 0
        run.append(at)
        rows += size
    yield tuple(run)


def _read(parquet: pq.ParquetFile, chunk: Chunk) -> Iterator[pa.RecordBatch]:
    groups, start, end = chunk.payload
    at, batches = 0, _batches(parquet, groups)
    while at < end:
        try:
            batch = next(batches)
        except (StopIteration, OSError, pa.ArrowException) as error:
            raise BadFile(f"it is damaged after row {chunk.first + max(at - start, 0)}") from error
        if at + len(batch) > start:
            yield batch.slice(max(start - at, 0), end - max(at, start))
        at += len(batch)


def _batches(parquet: pq.ParquetFile, groups: tuple[int, ...]) -> Iterator[pa.RecordBatch]:
    """Row groups, about `BATCH_BYTES` at a time: of rows as they lie in the file, or as the first ones are
    when read, for a dictionary hides long texts."""
    metadata = [parquet.metadata.row_group(at) for at in groups]
    lying = sum(group.total_byte_size for group in metadata) / max(sum(g.num_rows for g in metadata), 1)
    head = next(parquet.iter_batches(FIRST_ROWS, row_groups=list(groups[:1]), use_threads=False), None)
    width = max(lying, head.nbytes / len(head) if head is not None and len(head) else 0, 1)
    size = int(min(max(BATCH_BYTES / width, 256), BATCH_ROWS))
    yield from parquet.iter_batches(size, row_groups=list(groups), use_threads=False)


def _codec(parquet: pq.ParquetFile) -> str:
    metadata = parquet.metadata
    if not metadata.num_row_groups or not metadata.num_columns:
        return "snappy"
    codec = metadata.row_group(0).column(0).compression.lower()
    return "none" if codec == "uncompressed" else str(codec)
