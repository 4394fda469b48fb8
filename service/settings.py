"""Settings of the service, from environment variables that begin with RUSE_."""

import os
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "RUSE_"


class SettingsError(ValueError):
    """Settings are wrong; `faults` names all of them, without their values, which may be secret."""

    code = "settings_invalid"

    def __init__(self, faults: tuple[str, ...]) -> None:
        self.faults = faults
        super().__init__(faults)

    def __str__(self) -> str:
        return "\n".join(self.faults)


class Settings(BaseSettings):
    """What an operator may set; everything works without any. An empty variable counts as unset."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    models: Path | None = Field(
        None,
        description="Folder of one model or of promoted models; unset, the shipped model serves.",
    )
    database: str = Field(
        "sqlite:///ruse.sqlite3",
        description="Where reports are kept: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME.",
    )
    workers: int = Field(1, ge=1, le=64, description="Processes that answer.")
    rate_limit: int = Field(
        6_000, ge=0, le=10_000_000, description="Requests a minute that each key may send; 0: any number."
    )
    audit_share: float = Field(
        0.02,
        ge=0,
        le=1,
        description="Share of the reports that the model answers which are queued all the same.",
    )
    lease_minutes: int = Field(
        15, ge=1, le=1_440, description="Minutes that a report from the queue is kept for its reviewer."
    )
    retention_days: int = Field(
        0, ge=0, le=36_500, description="Days after which reports are erased; 0: never."
    )
    relabel_folder: Path | None = Field(
        None, description="Folder whose files jobs may read and write; unset, jobs are for the store only."
    )
    relabel_worker: bool = Field(True, description="Whether `serve` also starts the process that does jobs.")
    model_poll: float = Field(2, ge=0.1, le=3_600, description="Seconds between looks for a promoted model.")
    drain: float = Field(
        0,
        ge=0,
        le=600,
        description="Seconds after SIGTERM in which requests are still taken while ready says no.",
    )
    text_limit: int = Field(
        20_000, ge=1, le=1_000_000, description="Characters (code points) that a text may have."
    )
    batch_limit: int = Field(1_000, ge=1, le=100_000, description="Texts that one batch request may have.")
    body_limit: int = Field(
        8 * 1024 * 1024,
        ge=1_024,
        le=1024**3,
        description="Bytes that the body of a request may have, counted as they arrive.",
    )
    read_timeout: float = Field(
        30,
        gt=0,
        le=3_600,
        description="Seconds in which a head, then its body, must arrive, and some of an answer be taken.",
    )
    grace: int = Field(
        30, ge=0, le=3_600, description="Seconds that requests in flight are given after SIGTERM."
    )
    threads: int = Field(
        2, ge=1, le=256, description="Batches and long texts that are classified at the same time."
    )


def load(**given: Any) -> Settings:
    """Settings from the environment; what is `given` and not None outranks it.

    Raises SettingsError, which names every wrong setting at once.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise SettingsError(tuple(_fault(fault) for fault in error.errors())) from None


def _fault(fault: Any) -> str:
    name = str(fault["loc"][0])
    return (
        f"{variable(name)}: {fault['msg']}; "
        f"the default is {Settings.model_fields[name].default}, see docs/api.md"
    )


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def unknown() -> tuple[str, ...]:
    """Variables that look like settings and are none, most likely misspelt."""
    known = {variable(name) for name in Settings.model_fields}
    return tuple(sorted(n for n in os.environ if n.startswith(PREFIX) and n not in known))
