"""What a first start leaves behind."""

from pathlib import Path

import anyio
import pytest

from kyros_collab_server.bootstrap import open_kyros
from kyros_collab_server.settings import Settings

pytestmark = pytest.mark.anyio


async def test_a_data_directory_in_a_repository_shows_git_no_secret(tmp_path: Path) -> None:
    await anyio.run_process(["git", "init", "-q", str(tmp_path)])
    data_dir = tmp_path / "collaboration"
    async with open_kyros(Settings(data_dir=data_dir), duties=False) as opened:
        assert opened.credentials.token in (data_dir / "credentials.json").read_text()
        assert (data_dir / "credentials.json").stat().st_mode & 0o077 == 0
        seen = await anyio.run_process(
            ["git", "-C", str(tmp_path), "status", "--porcelain", "--untracked-files=all"]
        )
    assert seen.stdout == b""
