"""What worker processes have in common: imported by the server that forks them, and by nobody else."""

import gc
import os

os.putenv("OPENBLAS_NUM_THREADS", "1")  # NumPy's threads would only be there to be forked; a worker has one
gc.disable()  # all of it stays, and what is never looked through again is never copied
try:
    import service.crew
    import service.parquet  # noqa: F401
    from model.lean import without_scipy

    without_scipy()
finally:
    gc.freeze()
    gc.enable()
