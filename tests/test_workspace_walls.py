"""A workspace that does not exist takes nothing in, whoever knocks."""

import pytest

from tests.callers import agent_of, refused
from tests.conftest import Board

pytestmark = pytest.mark.anyio


async def test_the_local_trust_enters_no_workspace_that_does_not_exist(board: Board) -> None:
    stray = await agent_of(board, "stray", workspace="nowhere")
    with refused("not_found", thing="workspace"):
        await stray.create("T-1")
    with refused("not_found", thing="workspace"):
        await stray.log()
