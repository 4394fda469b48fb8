"""A lock that one process holds at a time and that dies with it, however it dies.

With SQLite it is a lock on a file beside the database, with PostgreSQL an advisory lock of a
session: the system frees either when its holder has gone.
"""

import fcntl
import os

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError

from service.database import Database

_LINE = 722_166  # of those who work on jobs


class Lock:
    """The right to work on the jobs of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._file: int | None = None
        self._session: Connection | None = None

    def take(self) -> bool:
        """Whether this process holds it now; never waits. Raises OSError, SQLAlchemyError."""
        if self.holds():
            return True
        if self._database.path:
            path = self._database.path
            file = os.open(path.with_name(f"{path.name}-relabel.lock"), os.O_CREAT | os.O_RDWR, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return False
            self._file = file
            return True
        session = self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        # Several stores may live in schemas of one database, and each has its own workers.
        key = func.hashtext(func.current_schema())
        if session.scalar(select(func.pg_try_advisory_lock(_LINE, key))):
            self._session = session
            return True
        session.close()
        return False

    def holds(self) -> bool:
        """Whether it still has it: with the connection to PostgreSQL the lock is gone, too."""
        if self._session is not None:
            try:
                self._session.execute(select(1))
            except SQLAlchemyError:
                self.release()
        return self._file is not None or self._session is not None

    def release(self) -> None:
        """Lets another process have it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._session is not None:
            # The lock belongs to the session, so the connection must not go back to the pool.
            self._session.invalidate()
            self._session.close()
            self._session = None
