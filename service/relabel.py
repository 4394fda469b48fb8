"""Relabels files: chunk by chunk, by worker processes, so that it can be killed and go on.

    find -> plan -> chunks -> workers: read, classify, write beside -> parent: rename, note -> report

Killed at any moment, the same job goes on where it was.
"""

import errno
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import model
from model import Taxonomy, artifact
from service import processes
from service.crew import Crew, Job, Progress, Stopped, drop
from service.diff import Diff
from service.diff_page import page
from service.files import BadFile, File, find, format_of, number_rows
from service.labels import Labels, RelabelError
from service.manifest import Manifest

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def plan(job: Job, tree: Taxonomy) -> tuple[list[File], dict[int, str]]:
    """The files of a job, and why some of them are bad. Raises RelabelError before any work."""
    Labels(tree, job.options.columns.level, job.options.columns.crosswalk)
    files = find(job.source)
    bad: dict[int, str] = {}
    refused: dict[int, RelabelError] = {}
    for file in files:
        try:
            job.options.columns.check(format_of(file).names(file, job.options))
        except BadFile as error:
            bad[file.number] = str(error)
        except RelabelError as error:
            if error.code == "column_taken":
                raise
            refused[file.number] = error
            bad[file.number] = str(error)
    if len(bad) == len(files):
        if refused:
            raise next(iter(refused.values()))
        raise RelabelError("source_unusable", f"{files[0].path}: {bad[files[0].number]}")
    return files, bad


def run(
    job: Job, watch: Callable[[Progress], None] = lambda _: None, goes_on: Callable[[], bool] = lambda: True
) -> dict[str, Any]:
    """Does a job, or what is left of it; the report, which also lies in the target.

    `watch` hears of the progress, `goes_on` is asked now and then. Raises Stopped when that says no,
    RelabelError when something is in the way, ModelError where the model cannot be loaded.
    """
    if job.target.resolve().is_relative_to(job.source.resolve()) and job.source.is_dir():
        raise RelabelError("target_inside", f"{job.target}: lies in the source; choose another target")
    processes.begin()
    try:
        return _run(job, watch, goes_on)
    finally:
        processes.end()


def _run(job: Job, watch: Callable[[Progress], None], goes_on: Callable[[], bool]) -> dict[str, Any]:
    about, tree = artifact.read_manifest(job.models), artifact.read_taxonomy(job.models)
    files, bad = plan(job, tree)
    known = {
        "model": about.version,
        "model_sha256": about.sha256,
        "taxonomy": tree.version,
        "options": job.options.as_dict(),
    }
    fingerprints = [f.fingerprint() for f in files]
    with closing(Crew(job)) as crew:
        crew.wait_for_model()
        try:
            with closing(Manifest(job.target, known, fingerprints, job.restart)) as manifest:
                progress = Progress(sum(file.size for file in files if file.number not in bad))
                for at, reason in bad.items():
                    drop(manifest, progress, files[at], reason)
                crew.work(files, about.sha256, manifest, progress, watch, goes_on)
                total = Diff()
                for diff in manifest.diffs():
                    total.merge(diff)
                report = _report(job, about, tree, total, progress.bad)
                manifest.report(report, page(report))
                return report
        except OSError as error:
            raise _unusable(job.target, error) from error


def preview(job: Job, rows: int) -> dict[str, Any]:
    """What a sample would change and how long all would take; nothing is written.

    The sample is the heads of at most ten files, or ten places of a Parquet file.
    """
    classifier = model.load(job.models)
    tree = classifier.taxonomy
    files, bad = plan(job, tree)
    good = [file for file in files if file.number not in bad]
    chosen = good[:: -(-len(good) // 10)]
    options = replace(job.options, chunk=max(rows // len(chosen), 1))
    total, size, seconds = Diff(), 0, 0.0
    classifier.classify(["warm up"])
    for file in chosen:
        for chunk in format_of(file).sample(file, options):
            began, diff = time.perf_counter(), Diff()
            format_of(file).relabel(chunk, options, classifier, None, diff)
            seconds += time.perf_counter() - began
            number_rows(diff, file, options)
            total.merge(diff)
            size += chunk.weight
    expected = max(round(total.rows * sum(file.size for file in good) / max(size, 1)), total.rows)
    left_out = {files[at].name: reason for at, reason in bad.items()}
    return _report(job, classifier.manifest, tree, total, left_out) | {
        "rows_expected": expected,
        "seconds_expected": round(seconds / max(total.rows, 1) * expected / job.workers, 1),
    }


def _report(
    job: Job, about: artifact.Manifest, tree: Taxonomy, total: Diff, bad: Mapping[str, str]
) -> dict[str, Any]:
    known = {"source": str(job.source), "model": about.version, "taxonomy": tree.version}
    return total.report(tree, job.options.columns, known) | {"bad_files": dict(bad)}


def _unusable(target: Path, error: OSError) -> RelabelError:
    if error.errno in _FULL:
        return RelabelError(
            "target_full",
            f"{target}: there is no space left; what is done is kept, free some and run the same again",
        )
    return RelabelError("target_unusable", f"{target}: {error.strerror or 'it cannot be written'}")


__all__ = ["Job", "Progress", "Stopped", "plan", "preview", "run"]
