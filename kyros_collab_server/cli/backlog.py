"""The project's own backlog: T-100 … T-105 and T-200 … T-204, each with its definition of done."""

from importlib.resources import files

from kyros_collab_server.features.tasks.model import CreateTasks, TaskDraft


def backlog() -> list[TaskDraft]:
    """The drafts of the seeded tasks, in an order in which each can be made."""
    text = files("kyros_collab_server.cli").joinpath("backlog.json").read_text("utf-8")
    return CreateTasks.model_validate_json(text).tasks
