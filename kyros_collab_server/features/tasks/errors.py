"""What tasks refuse."""

from enum import StrEnum
from typing import Any

from kyros_collab_server.kernel.errors import Kind, KyrosError


class Guard(StrEnum):
    """The rules that stand between columns."""

    ILLEGAL_MOVE = "illegal_move"
    OPEN_DEPENDENCIES = "open_dependencies"
    ROLE = "role"
    SKILLS = "skills"
    AGENT_PAUSED = "agent_paused"
    LEASE_REQUIRED = "lease_required"
    SELF_REVIEW = "self_review"
    OPEN_CHECKLIST = "open_checklist"
    NEEDS_ATTENTION = "needs_attention"


_TEXT = {
    Guard.ILLEGAL_MOVE: ("The board has no such move.", "Move to one of `allowed`."),
    Guard.OPEN_DEPENDENCIES: ("Not all dependencies are done.", "Work on those in `open` first."),
    Guard.ROLE: ("The task asks for another role.", "Claim with the role that it asks for."),
    Guard.SKILLS: ("The task asks for skills that you lack.", "Claim another task."),
    Guard.AGENT_PAUSED: ("You are paused.", "Wait until a person resumes you."),
    Guard.LEASE_REQUIRED: (
        "Leaving this column needs the task's live lease.",
        "task_claim(task_id=…), then send its fencing_token.",
    ),
    Guard.SELF_REVIEW: ("A reviewer other than the assignee must approve.", "Ask another agent."),
    Guard.OPEN_CHECKLIST: (
        "The definition of done has open items.",
        "Tick those in `open` with task_update(tick=[…]).",
    ),
    Guard.NEEDS_ATTENTION: (
        "The task was lost too often and waits for a person.",
        "Claim another task.",
    ),
}


class GuardFailed(KyrosError):
    """A guard of the board stands in the way."""

    code = "guard_failed"
    kind = Kind.CONFLICT

    def __init__(self, guard: Guard, **facts: Any) -> None:
        detail, fix = _TEXT[guard]
        super().__init__(detail, fix=fix, guard=guard.value, **facts)


class DependencyCycle(KyrosError):
    """The dependencies would form a circle."""

    code = "dependency_cycle"
    kind = Kind.CONFLICT

    def __init__(self, cycle: list[str]) -> None:
        super().__init__(
            "A task may not wait for itself.", fix="Drop one edge of `cycle`.", cycle=cycle
        )


class TaskExists(KyrosError):
    """A task of this id exists."""

    code = "already_exists"
    kind = Kind.CONFLICT

    def __init__(self, task_id: str) -> None:
        super().__init__(
            "The id is taken.", fix="Leave the id out, or take another.", task_id=task_id
        )
