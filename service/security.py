"""Who may do what: API keys, their scopes and their rates.

A key is 256 random bits, so its SHA-256 needs neither salt nor slowness to be safe. Keys are read
every few seconds, not for every request: the longest that a revoked key can live on.
"""

import asyncio
import hashlib
import ipaddress
import logging
import secrets
import sqlite3
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from anyio.to_thread import run_sync
from limits import RateLimitItemPerMinute
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter
from sqlalchemy import insert, select, update
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request

from service.database import Database, reason
from service.problems import Problem
from service.rehearsal import is_rehearsal
from service.store import write_audit
from service.tables import keys, new_id, now

log = logging.getLogger("ruse.service")

SCOPES = ("classify", "report", "review", "admin")
PREFIX = "ruse_"
REFRESH, PAUSE = 2.0, 0.2  # seconds between reads, and at least so many
_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
_BEARER = "bearer "


@dataclass(frozen=True)
class Key:
    """An API key without its secret; times in milliseconds since 1970."""

    id: str
    name: str
    scopes: frozenset[str]
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None

    def is_valid(self) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now() < self.expires_at)


# Who sends requests to a loopback address while there are no keys.
LOCAL = Key("local", "this machine", frozenset(SCOPES), 0)


class KeyRing:
    """The keys in a database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def create(self, name: str, scopes: Iterable[str], days: int | None, actor: str) -> tuple[Key, str]:
        """A new key and its secret, which is nowhere else. Raises ValueError for an unknown scope."""
        wanted = frozenset(scopes)
        if not wanted or not wanted <= set(SCOPES):
            raise ValueError(f"scopes are {', '.join(SCOPES)}")
        secret = PREFIX + secrets.token_urlsafe(32)
        expires = now() + days * 86_400_000 if days else None
        key = Key(new_id(), name, wanted, now(), expires)
        row = {
            "id": key.id, "hash": _hash(secret), "name": name, "scopes": " ".join(sorted(wanted)),
            "created_at": key.created_at, "expires_at": expires,
        }  # fmt: skip
        with self.database.writing() as connection:
            connection.execute(insert(keys).values(row))
            write_audit(connection, actor, "key_created", key.id, {"scopes": sorted(wanted)})
        return key, secret

    def revoke(self, key: str, actor: str) -> bool:
        """Revokes a key by id; False where there is none that could be."""
        with self.database.writing() as connection:
            matches = (keys.c.id == key) & keys.c.revoked_at.is_(None)
            done = connection.execute(update(keys).where(matches).values(revoked_at=now()))
            if done.rowcount:
                write_audit(connection, actor, "key_revoked", key, {})
            return bool(done.rowcount)

    def all(self) -> dict[str, Key]:
        """Every key there ever was, by the hash of its secret."""
        with self.database.reading() as connection:
            rows = connection.execute(select(keys).order_by(keys.c.id)).mappings().all()
        return {
            row["hash"]: Key(
                row["id"], row["name"], frozenset(row["scopes"].split()),
                row["created_at"], row["expires_at"], row["revoked_at"],
            )
            for row in rows
        }  # fmt: skip


class Gate:
    """Lets requests in by their keys. On a loopback address all may enter until a key was made."""

    def __init__(self, ring: KeyRing, host: str, limit: int, counters: Storage) -> None:
        self._ring = ring
        self._local = is_loopback(host)
        self._limit = limit
        self._item = RateLimitItemPerMinute(max(limit, 1))
        self._limiter = FixedWindowRateLimiter(counters)
        self._keys: dict[str, Key] | None = None
        self._read_at = 0.0
        self._looking = asyncio.Lock()

    def refresh(self) -> None:
        """Reads the keys again; those known stay where the database cannot be reached."""
        self._read_at = time.monotonic()
        try:
            self._keys = self._ring.all()
        except SQLAlchemyError as error:
            log.warning("keys_not_read: the store is unavailable (%s)", reason(error))

    async def admit(self, request: Request, scope: str | None) -> Key:
        """The key of a request, which has the scope; None: any key will do. Raises Problem."""
        if is_rehearsal(request.scope):
            if self._keys is not None:  # it looks as for others, whatever it finds, but reads no store
                with suppress(Problem):
                    await self._identify(request)
            return LOCAL
        key = await self._identify(request)
        request.scope["ruse.key"] = key.id
        if key is LOCAL:
            # A page in a browser here may have had its name resolved to this address.
            if scope != "classify" and not _is_local_name(request.headers.get("host", "")):
                raise Problem("host_refused")
        elif self._limit and not self._hit(key):
            wait = self._limiter.get_window_stats(self._item, key.id).reset_time - time.time()
            headers = {"Retry-After": str(max(1, round(wait + 0.5)))}
            raise Problem("rate_limited", headers=headers, limit=self._limit)
        if scope and scope not in key.scopes:
            raise Problem("scope_missing", scope=scope)
        return key

    def _hit(self, key: Key) -> bool:
        try:
            return self._limiter.hit(self._item, key.id)
        except sqlite3.Error as error:  # better too many requests than none
            log.error("rates_not_counted: %s", reason(error))
            return True

    async def _identify(self, request: Request) -> Key:
        given = request.headers.get("authorization", "")
        secret = given[len(_BEARER) :].strip() if given.lower().startswith(_BEARER) else ""
        if self._keys is None:
            await run_sync(self.refresh)
        if self._keys is None:
            raise Problem("store_unavailable", headers={"Retry-After": "2"})
        if not self._keys and self._local:
            return LOCAL
        hashed = _hash(secret) if secret.startswith(PREFIX) else ""
        if hashed and hashed not in self._keys:
            await self._look_again()
        key = self._keys.get(hashed)
        if key is None or not key.is_valid():
            raise Problem("key_invalid", headers={"WWW-Authenticate": "Bearer"})
        return key

    async def _look_again(self) -> None:
        """Reads the keys for one that may be new; who sends many wrong ones causes no more reads."""
        came = time.monotonic()
        async with self._looking:
            if self._read_at < came:
                await asyncio.sleep(max(0.0, self._read_at + PAUSE - came))
                await run_sync(self.refresh)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_local_name(host: str) -> bool:
    name = host.rsplit(":", 1)[0] if host.rpartition(":")[2].isdecimal() else host
    return name.lower() in _LOCAL_NAMES


def can_enter(known: dict[str, Any]) -> bool:
    """Whether some key is valid: without one, nobody from elsewhere could ever enter."""
    return any(key.is_valid() for key in known.values())
