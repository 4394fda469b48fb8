"""What worker processes have in common: imported by the server that forks them, and by nobody else."""

import gc

gc.disable()  # all of it stays

import service.crew  # noqa: E402
import service.parquet  # noqa: E402, F401
from model.lean import without_scipy  # noqa: E402

without_scipy()
gc.enable()
gc.freeze()
