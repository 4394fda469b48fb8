"""What tests of relabelling share: a file cut into chunks and relabelled in this process."""

from pathlib import Path

from model import Classifier
from service.diff import Diff
from service.files import Options, find, format_of


def relabel_here(
    source: Path, target: Path, options: Options, classifier: Classifier
) -> tuple[list[Path], Diff]:
    """The parts of all files of a source, in order, and their diff."""
    target.mkdir()
    parts, total = [], Diff()
    for file in find(source):
        work = format_of(file)
        options.columns.check(work.names(file, options))
        for chunk in work.chunks(file, options):
            part, diff = target / chunk.part(work.suffix(file)), Diff()
            part.parent.mkdir(parents=True, exist_ok=True)
            work.relabel(chunk, options, classifier, part, diff)
            parts.append(part)
            total.merge(diff)
    return parts, total
