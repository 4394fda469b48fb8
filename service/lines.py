"""Text files as lines of bytes: unpacked as they are read, and cut into chunks."""

from collections.abc import Iterable, Iterator
from typing import IO, Any

import pyarrow as pa

from service.files import CHUNK_BYTES, BadFile, Chunk, File, Options

CODECS = {".gz": "gzip", ".zst": "zstd"}
LONGEST = 64 * 1024 * 1024  # bytes of a line
BOM = b"\xef\xbb\xbf"
BLOCK = 1024 * 1024


class Lines:
    """The lines of a file with their ends, without a mark of the encoding; to iterate raises BadFile.

    `ratio` is how many bytes of the file a byte of the lines has been so far.
    """

    def __init__(self, file: File) -> None:
        self._file = file
        self.ratio = 1.0

    def __iter__(self) -> Iterator[bytes]:
        packed = self._file.packed
        try:
            with pa.OSFile(str(self._file.path)) as plain, _unpacked(plain, packed) as stream:
                for at, line in enumerate(self._split(plain, stream)):
                    if at == 0 and line[:2] in (b"\xff\xfe", b"\xfe\xff"):
                        raise BadFile("it is UTF-16; save it as UTF-8")
                    yield line.removeprefix(BOM) if at == 0 else line
        except (OSError, pa.ArrowException) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            raise BadFile(reason or f"it is no {packed or 'file'}, or was cut off") from error

    def _split(self, plain: Any, stream: Any) -> Iterator[bytes]:
        rest: list[bytes] = []
        length = seen = 0
        while block := stream.read(BLOCK):
            seen += len(block)
            self.ratio = plain.tell() / seen
            lines = block.split(b"\n")
            for line in lines[:-1]:
                yield b"".join([*rest, line, b"\n"])
                rest, length = [], 0
            rest.append(lines[-1])
            length += len(lines[-1])
            if length > LONGEST:
                raise BadFile(f"a line has more than {LONGEST // 2**20} MB; is it text, with ends of lines?")
        if length:
            yield b"".join(rest)


def _unpacked(plain: Any, packed: str) -> Any:
    return pa.CompressedInputStream(plain, CODECS[packed]) if packed else plain


def chunks(
    file: File, lines: Lines, records: Iterable[bytes], options: Options, *head: Any
) -> Iterator[Chunk]:
    """Records (a line, or several) as chunks; the payload of each is `head` and its bytes.

    A chunk is full when it has the rows that were asked for, or CHUNK_BYTES.
    """
    number, first, size = 0, 1, 0
    kept: list[bytes] = []
    for record in records:
        kept.append(record)
        size += len(record)
        if len(kept) == options.chunk or size >= CHUNK_BYTES:
            yield Chunk(file, number, first, round(size * lines.ratio), (*head, b"".join(kept)))
            number, first, size, kept = number + 1, first + len(kept), 0, []
    if kept or not number:
        yield Chunk(file, number, first, round(size * lines.ratio), (*head, b"".join(kept)))


def write(stream: IO[bytes], packed: str, content: bytes) -> None:
    """Writes a part, packed as its file was; the same content gives the same bytes."""
    if packed:
        with pa.CompressedOutputStream(stream, CODECS[packed]) as out:
            out.write(content)
    else:
        stream.write(content)
