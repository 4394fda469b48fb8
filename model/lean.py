"""What a process that only classifies can do without."""

import sys

_BLAS = "scipy.linalg.cython_blas"


def without_scipy() -> None:
    """Keeps numba from importing SciPy's linear algebra; for doors, before the first text is classified.

    When its first function is called, numba imports that only to learn whether `np.dot` could be
    compiled: a quarter of the time that a command takes, and memory in every process, for what the
    kernel never uses.
    """
    if _BLAS in sys.modules:
        return
    sys.modules[_BLAS] = None  # type: ignore[assignment]  # to Python: it is not there
    try:
        import numba.np.arraymath  # noqa: F401
    finally:
        del sys.modules[_BLAS]
