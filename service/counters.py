"""Counters of the rate limits in a file that all workers of one service share.

Kept in SQLite without any fsync: they need to hold for a minute, not through a loss of power.
"""

import sqlite3
import threading
import time
from pathlib import Path

from limits.storage import MemoryStorage, Storage


class FileStorage(Storage):
    """What `limits` needs of a storage for fixed windows."""

    STORAGE_SCHEME = None

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._turn = threading.Lock()
        self._connection = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=MEMORY", "synchronous=OFF"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS counters (key TEXT PRIMARY KEY, count INTEGER, ends REAL)"
        )

    @property
    def base_exceptions(self) -> type[Exception]:
        """What its methods may raise."""
        return sqlite3.Error

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Counts up; the count begins anew when its window of `expiry` seconds is over."""
        at = time.time()
        with self._turn:
            row = self._connection.execute(
                "INSERT INTO counters VALUES (?1, ?2, ?3 + ?4) ON CONFLICT (key) DO UPDATE SET "
                "count = CASE WHEN ends <= ?3 THEN ?2 ELSE count + ?2 END, "
                "ends = CASE WHEN ends <= ?3 THEN ?3 + ?4 ELSE ends END RETURNING count",
                (key, amount, at, expiry),
            ).fetchone()
        return int(row[0])

    def get(self, key: str) -> int:
        """The count of the window that goes on."""
        return int(self._read("count", key) or 0)

    def get_expiry(self, key: str) -> float:
        """When the window ends, in seconds since 1970."""
        return float(self._read("ends", key) or time.time())

    def _read(self, column: str, key: str) -> float | None:
        with self._turn:
            query = f"SELECT {column} FROM counters WHERE key = ? AND ends > ?"
            row = self._connection.execute(query, (key, time.time())).fetchone()
        return row[0] if row else None

    def check(self) -> bool:
        """Whether it works."""
        return self.get("") == 0

    def reset(self) -> int | None:
        """Forgets everything."""
        with self._turn:
            return self._connection.execute("DELETE FROM counters").rowcount

    def clear(self, key: str) -> None:
        """Forgets one count."""
        with self._turn:
            self._connection.execute("DELETE FROM counters WHERE key = ?", (key,))


def counters(folder: Path | None) -> Storage:
    """Counters of this process, or those in a folder that several share."""
    return FileStorage(folder / "rates.sqlite3") if folder else MemoryStorage()
