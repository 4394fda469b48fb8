"""The row of `make bench` about a command in a cold shell."""

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.bench_apart import cores, in_turns

ROOT = Path(__file__).resolve().parent.parent
TEXT = "They approved my loan on WhatsApp, but first I must pay a processing fee"


def cold(rounds: int) -> dict[str, float]:
    """Seconds of `python -m model classify` and of `import sklearn`, each a new process, in turns."""
    works = {
        "classify": lambda: _run("-m", "model", "classify", TEXT),
        "sklearn": lambda: _run("-c", "import sklearn"),
    }
    in_turns(min(rounds - 1, 1), works)  # which fills the caches
    return in_turns(rounds, works)


def _run(*words: str) -> None:
    subprocess.run(
        [sys.executable, *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, set(cores()[-1:])),
    )  # fmt: skip
