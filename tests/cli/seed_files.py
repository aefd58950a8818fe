"""The state files that the repository ships; `python -m tests.cli.seed_files` writes them."""

from pathlib import Path

from kyros_collab_server.adapters.state_files import state_file_text
from kyros_collab_server.cli.backlog import backlog
from kyros_collab_server.features.tasks.rules import drafted

ROOT = Path(__file__).resolve().parents[2]
SEEDED_AT = "2026-01-05T09:00:00.000Z"


def seed_files() -> dict[str, str]:
    """The text of each state file below `collaboration/`, by path."""
    made = [drafted(draft, draft.id or "", "system", SEEDED_AT) for draft in backlog()]
    tasks = [(task.id, task.etag, task.model_dump(mode="json")) for task in made]
    texts = {
        "state/tasks.json": state_file_text("tasks", len(made), 0, tasks),
        "state/locks.json": state_file_text("locks", 0, 0, []),
        "state/agents.json": state_file_text("agents", 0, 0, []),
    }
    return {f"collaboration/{name}": f"{text}\n" for name, text in texts.items()}


if __name__ == "__main__":
    for name, text in seed_files().items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
