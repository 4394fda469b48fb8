"""service.lock: one holder at a time, and none once it is dead."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.lock import Lock
from tests.databases import opened

HOLD = """
import sys, time
from service.database import Database
from service.lock import Lock
print(Lock(Database(sys.argv[1])).take(), flush=True)
time.sleep(60)
"""


def take_soon(lock: Lock) -> None:
    """Takes it within ten seconds: PostgreSQL frees it only once it has seen that a session has ended."""
    deadline = time.monotonic() + 10
    while not lock.take():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_lock_dies_with_its_holder(kind: str, tmp_path: Path) -> None:
    """While another process holds it nobody gets it; after kill -9 of that process the next one does."""
    with opened(kind, tmp_path) as database:
        url = database.url.render_as_string(hide_password=False)
        holder = subprocess.Popen([sys.executable, "-c", HOLD, url], stdout=subprocess.PIPE, text=True)
        assert holder.stdout
        assert holder.stdout.readline() == "True\n"
        mine = Lock(database)
        assert not mine.take()
        assert not mine.holds()
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
        take_soon(mine)
        assert mine.holds()
        assert not Lock(database).take()
        mine.release()
        other = Lock(database)
        take_soon(other)
        other.release()


def test_a_lost_connection_loses_the_lock(tmp_path: Path) -> None:
    """Where PostgreSQL ends the session that holds the lock, the holder notices, and another gets it."""
    with opened("postgresql", tmp_path) as database:
        mine = Lock(database)
        assert mine.take()
        with database.engine.connect() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_locks "
                "WHERE locktype = 'advisory' AND classid = 722166 "
                "AND objid::bigint = (hashtext(current_schema())::bigint & 4294967295)"
            )
        assert not mine.holds()
        other = Lock(database)
        take_soon(other)
        other.release()
