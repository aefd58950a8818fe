"""The callers that most tests of the features need."""

import pytest

import tests.properties  # noqa: F401 - the profile of property tests
from tests.callers import Caller, admin_of, agent_of
from tests.conftest import Board


@pytest.fixture
async def ana(board: Board) -> Caller:
    return await agent_of(board, "ana")


@pytest.fixture
async def ben(board: Board) -> Caller:
    return await agent_of(board, "ben")


@pytest.fixture
async def boss(board: Board) -> Caller:
    """An admin, and so an operator."""
    return await admin_of(board, "boss")
