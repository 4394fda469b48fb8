"""What the commands share: settings, the store, who runs them, and how they refuse."""

import getpass
import os
import sys
from typing import TYPE_CHECKING, NoReturn

import typer

from service import settings
from service.settings import Settings

if TYPE_CHECKING:
    from service.database import Database

UNUSABLE = 2  # exit code: settings, model, database or address cannot be used


def actor() -> str:
    """Who runs a command, for the audit."""
    try:
        return f"command:{getpass.getuser()}"
    except (KeyError, OSError):  # a user without a name, as in an image
        return f"command:{os.getuid()}"


def load_settings() -> Settings:
    """The settings; ends the process where one is wrong."""
    try:
        return settings.load()
    except settings.SettingsError as error:
        refuse(error.code, str(error))


def open_database(durable: bool = True) -> "Database":
    """The store that RUSE_DATABASE names, up to date; ends the process where it cannot be used."""
    from service.database import Database, DatabaseError  # which a relabelling of files does without

    try:
        database = Database(load_settings().database, durable=durable)
        database.migrate()
    except DatabaseError as error:
        refuse(error.code, str(error))
    return database


def refuse(code: str, message: str) -> NoReturn:
    """Ends the process with what is wrong on standard error."""
    print(f"{code}: {message}", file=sys.stderr)
    raise typer.Exit(UNUSABLE)
