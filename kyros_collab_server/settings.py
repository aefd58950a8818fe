"""Settings: the only reader of the environment."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kyros_collab_server.kernel.errors import Invalid

PREFIX = "KYROS_"


class Settings(BaseModel):
    """Every setting, with its unit and default. `KYROS_<NAME>` in the environment sets it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Path = Field(
        Path("collaboration"), description="Directory of the SQLite store and its files."
    )
    database_url: str = Field(
        "",
        description="Postgres as postgresql+psycopg://user@host/db; empty: SQLite in the data "
        "directory.",
    )
    redis_url: str = Field(
        "", description="Redis for the queue of scaled deployments; empty: none."
    )
    host: str = Field("127.0.0.1", description="Address that serve binds.")
    port: int = Field(8000, ge=0, le=65535, description="Port that serve binds; 0 picks one.")
    public_url: str = Field(
        "", description="URL under which clients reach the server; empty: the bound address."
    )
    secret: str = Field(
        "", description="Deployment secret, 32 characters or more; empty: kept in the store."
    )
    allowed_hosts: str = Field(
        "", description="More Host names to accept, separated by commas; name or name:port."
    )
    allowed_origins: str = Field(
        "", description="More browser origins to accept, separated by commas."
    )
    token: str = Field("", description="API key that stdio and the command line call with.")
    url: str = Field("", description="Running server that stdio and the command line talk to.")
    agent: str = Field("", description="Agent name of a stdio process or of the command line.")
    workspace: str = Field("", description="Workspace to work in; empty: the key's first.")
    toolsets: str = Field(
        "core", description="Toolsets that tools/list shows, separated by commas."
    )
    exclude_tools: str = Field("", description="Tools to take away, separated by commas.")
    read_only: bool = Field(False, description="Offer only tools that change nothing.")
    mcp_handshake: Literal["auto", "sessions", "stateless"] = Field(
        "auto", description="Handshake clients: auto is sessions on SQLite, stateless on Postgres."
    )
    body_limit_bytes: int = Field(
        1_048_576, ge=1_024, description="Largest request body, in bytes."
    )
    calls_per_second: int = Field(
        600, ge=1, description="Calls a second that one principal may make."
    )
    streams_per_principal: int = Field(
        64, ge=1, description="Event streams that one principal may hold open."
    )
    read_threads: int = Field(3, ge=1, le=16, description="Threads that read snapshots.")
    batch_limit: int = Field(
        256, ge=1, le=1_024, description="Operations that one commit takes at most."
    )
    lock_timeout_seconds: float = Field(
        5, gt=0, description="Seconds to wait for the write lock before writer_stalled."
    )
    drain_seconds: float = Field(
        8, ge=0, description="Seconds that open calls get to end after SIGTERM."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged to stderr."
    )
    failpoint: str = Field(
        "", description="For crash tests: the named point at which the process kills itself."
    )

    @property
    def sqlite_path(self) -> Path:
        """Where the SQLite store lies when no database URL is set."""
        return self.data_dir / "kyros.db"


def load_settings(environ: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """Return the settings of this process: overrides first, then the environment, then defaults.

    Raises:
        Invalid: a value breaks its rule; names the setting, never the value.
    """
    source = os.environ if environ is None else environ
    values: dict[str, object] = {
        name: source[PREFIX + name.upper()]
        for name in Settings.model_fields
        if source.get(PREFIX + name.upper(), "") != ""
    }
    values.update({name: value for name, value in overrides.items() if value is not None})
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = PREFIX + str(first["loc"][0]).upper() if first["loc"] else PREFIX
        raise Invalid(name, first["msg"]) from None


def child_environment(settings: Settings, **more: str) -> dict[str, str]:
    """The environment of a child: this process's, pointing at the same board as the same agent."""
    board = {
        "DATA_DIR": str(settings.data_dir.absolute()),
        "URL": settings.url,
        "AGENT": settings.agent,
        "WORKSPACE": settings.workspace,
    }
    named = {PREFIX + name: value for name, value in {**board, **more}.items() if value}
    return {**os.environ, **named}


def settings_reference() -> list[tuple[str, str, str]]:
    """`(environment name, default as text, description)` of every setting, in order."""
    return [
        (
            PREFIX + name.upper(),
            "" if field.default in ("", None) else str(field.default),
            field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]
