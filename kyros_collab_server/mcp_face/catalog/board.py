"""Tool of the board: everything at a glance."""

from typing import Any, NotRequired

from typing_extensions import TypedDict

from kyros_collab_server.features.tasks import service as tasks
from kyros_collab_server.features.tasks.model import Board, BoardMe, Column, ShowBoard
from kyros_collab_server.mcp_face.toolbox import Call, Reply, ToolSpec
from kyros_collab_server.mcp_face.wording import lean, listed, quoted, visible

MADE_UP = "a name made up for this process; set KYROS_AGENT to keep one"


class HoldingAnswer(TypedDict):
    """A lease that the caller holds."""

    lock_id: str
    resource: str
    fencing_token: int
    expires_in_ms: int
    task_id: NotRequired[str]


class MeAnswer(TypedDict):
    """The caller on this board."""

    actor: str
    workspace: str
    unread: int
    holding: list[HoldingAnswer]
    note: NotRequired[str]


class CardAnswer(TypedDict):
    """A task in a column."""

    id: str
    title: str
    priority: str
    assignee: NotRequired[str]
    blocked_by: NotRequired[int]


class ColumnAnswer(TypedDict):
    """A column: how many cards, and the first of them."""

    status: str
    count: int
    cards: NotRequired[list[CardAnswer]]


class AttentionAnswer(TypedDict):
    """Something that somebody should look at."""

    kind: str
    target: str
    text: str


class BoardAnswer(TypedDict, total=False):
    """The board, or that it is as it was."""

    me: MeAnswer
    columns: list[ColumnAnswer]
    attention: list[AttentionAnswer]
    etag: str
    unchanged: bool


def board_answer(board: Board, *, made_up: bool) -> dict[str, Any]:
    """The board as lean structure."""
    if board.unchanged:
        return {"unchanged": True}
    shown: dict[str, Any] = lean(board.model_dump(mode="json", exclude={"unchanged"}))
    for column in shown.get("columns", []):
        if not column["cards"]:
            del column["cards"]
        for card in column.get("cards", []):
            if not card.get("blocked_by"):
                card.pop("blocked_by", None)
    if made_up and "me" in shown:
        shown["me"]["note"] = MADE_UP
    return shown


def board_text(board: Board, *, made_up: bool) -> str:
    """The board, a line for each thing."""
    if board.unchanged:
        return "unchanged"
    lines = _me_lines(board.me, made_up=made_up) if board.me is not None else []
    lines += [
        f"! {one.kind} {visible(one.target)}: {quoted(one.text)}" for one in board.attention or []
    ]
    for column in board.columns or []:
        if column.count:
            lines += _column_lines(column)
    lines.append(f"etag {board.etag}")
    return listed(lines, "", narrow="task_list with a status")


def _me_lines(me: BoardMe, *, made_up: bool) -> list[str]:
    who = f"you are {me.actor} in {me.workspace}"
    lines = [f"{who} ({MADE_UP})" if made_up else who]
    lines += [
        f"holding {one.resource} {one.lock_id} #{one.fencing_token},"
        f" {one.expires_in_ms // 1000} s left"
        for one in me.holding
    ]
    return lines


def _column_lines(column: Column) -> list[str]:
    lines = [f"{column.status.value} {column.count}"]
    for card in column.cards:
        line = f"  {card.id} {quoted(card.title, 120)} {card.priority.value}"
        if card.assignee is not None:
            line += f" {card.assignee}"
        if card.blocked_by:
            line += f" waits for {card.blocked_by}"
        lines.append(line)
    if column.count > len(column.cards):
        lines.append(f"  … {column.count - len(column.cards)} more")
    return lines


async def show(call: Call, command: ShowBoard) -> Reply:
    """The board at this moment, with the caller on it."""
    board = await call.perform(tasks.board, command)
    made_up = call.caller.name_is_made_up
    return Reply(board_text(board, made_up=made_up), board_answer(board, made_up=made_up))


TOOLS = (
    ToolSpec(
        name="board_show",
        description="Show the board: who you are and what you hold, each column, and what needs "
        "attention. Send the last etag as if_none_match to save tokens.",
        takes=ShowBoard,
        arguments=("if_none_match",),
        answer=BoardAnswer,
        run=show,
        operations=(tasks.board,),
        hints="RI",
    ),
)
