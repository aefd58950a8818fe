"""`make bench`: floors and our figures side by side, as ratios of one run."""

import argparse
import os
import platform
import shlex
import sys
import tempfile
import time
from pathlib import Path

from pysqlite3 import dbapi2 as sqlite

from tests.bench.parts import PARTS
from tests.bench.raw_store import fsync_ms
from tests.bench.rounds import markdown


def main() -> int:
    """Print the machine, the command, and a table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=sorted(PARTS), help="a part; repeat")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, taken in turn (5)")
    arguments = parser.parse_args()
    print(f"command: python -m tests.bench {shlex.join(sys.argv[1:])}".rstrip())
    with tempfile.TemporaryDirectory() as place:
        print(
            f"machine: {os.cpu_count()} cores, {platform.machine()}, Python "
            f"{platform.python_version()}, SQLite {sqlite.sqlite_version}, "
            f"fdatasync of 4 KiB {fsync_ms(Path(place)):.2f} ms, "
            f"load {os.getloadavg()[0]:.1f} at the start"
        )
    print(f"figures: medians of {arguments.rounds} rounds taken in turn; durable writes\n")
    rows = []
    for name in arguments.only or PARTS:
        began = time.monotonic()
        rows += PARTS[name](arguments.rounds)
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    print(markdown(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
