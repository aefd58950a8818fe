"""`kyros version`: which version this is, and on what it runs."""

import platform
from importlib.metadata import PackageNotFoundError, version

from kyros_collab_server.cli.command import Call, command, single

app = single()
PACKAGE = "kyros"


def kyros_version() -> str:
    """The version of the installed package; `0` from a checkout that was not installed."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return "0"


@command(app, "version")
async def version_(call: Call) -> None:
    """Say which version this is."""
    import pysqlite3

    row = {
        "version": kyros_version(),
        "python": platform.python_version(),
        "sqlite": pysqlite3.sqlite_version,
        "platform": platform.platform(terse=True),
    }
    text = f"kyros {row['version']} (Python {row['python']}, SQLite {row['sqlite']})"
    call.output.record(row, text, ident="version")
