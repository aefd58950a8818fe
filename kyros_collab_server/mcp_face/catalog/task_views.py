"""How tasks, leases and claims are shown to a model: as text and as lean structure."""

import json
from typing import Any

from kyros_collab_server.features.leases.model import Lease
from kyros_collab_server.features.tasks.model import Claim, LateResult, Revision, Task, WhyWaiting
from kyros_collab_server.mcp_face.wording import (
    capped,
    clock,
    fields,
    lean,
    one_line,
    quoted,
    visible,
)

CARD = (
    "id title status priority labels role skills depends_on resources definition_of_done "
    "assignee lock_id needs_attention etag"
).split()
LATE_TEXT = 4_000
"""Characters of one late result; the log holds all of it."""
ROW = ("id", "title", "status", "priority", "labels", "assignee", "depends_on", "etag")


def task_answer(task: Task, only: "list[str] | tuple[str, ...] | None" = None) -> dict[str, Any]:
    """The task's fields that say something."""
    shown = fields(task, only=only)
    if not task.needs_attention:
        shown.pop("needs_attention", None)
    return shown


def lease_answer(lease: Lease) -> dict[str, Any]:
    """The lease's handles."""
    return {
        "lock_id": lease.lock_id,
        "resource": lease.resource,
        "fencing_token": lease.fencing_token,
        "renew_before": lease.expires_at,
    }


def headline(task: Task) -> str:
    """`T-7 "Parse globs" P1 in_progress · held by ana · etag …` on one line."""
    parts = [f"{task.id} {quoted(task.title)} {task.priority.value} {task.status.value}"]
    if task.assignee is not None:
        parts.append(f"assignee {task.assignee}")
    if task.needs_attention:
        parts.append("needs attention")
    parts.append(f"etag {task.etag}")
    return " · ".join(parts)


def checklist(task: Task) -> list[str]:
    """The definition of done, a line each, with the ids that `tick` takes."""
    return [
        f"[{'x' if item.done else ' '}] {item.id}: {one_line(item.text)}"
        for item in task.definition_of_done
    ]


def late_answer(late: LateResult) -> dict[str, Any]:
    """What somebody who had lost the task handed in, bounded."""
    text = capped(visible(late.text), LATE_TEXT)
    return {"seq": late.seq, "ts": late.ts, "author": late.author, "text": text}


def late_words(late: LateResult) -> str:
    """`late result #12 12:08:10Z by agent:ana: text`."""
    return f"late result #{late.seq} {clock(late.ts)} by {late.author}: {one_line(late.text)}"


def waits_answer(why: WhyWaiting) -> dict[str, Any]:
    """A reason with the facts that say something."""
    facts = lean(why.facts)
    return {"reason": why.reason, "facts": facts} if facts else {"reason": why.reason}


def waits_words(why: WhyWaiting) -> str:
    """`waits: resources_held {"holder":"agent:ana"}`."""
    facts = json.dumps(lean(why.facts), ensure_ascii=False, separators=(",", ":"))
    return f"waits: {why.reason} {one_line(facts)}"


def revision_answer(revision: Revision) -> dict[str, Any]:
    """One change: who, when, and each field before and after; null is a field that was empty."""
    shown = fields(revision, only=("seq", "ts", "event", "actor", "version", "etag"))
    shown["changes"] = {
        visible(name): {side: lean(value) for side, value in both.items()}
        for name, both in revision.changes.items()
    }
    return shown


def lease_words(lease: Lease) -> str:
    """`path:src/** lk_a01d #13`."""
    return f"{lease.resource} {lease.lock_id} #{lease.fencing_token}"


def own_first(task: Task, leases: list[Lease]) -> list[Lease]:
    """A claim's leases with the task's own first: its token is the one that writes need."""
    return sorted(leases, key=lambda lease: lease.lock_id != task.lock_id)


def claim_text(task: Task, leases: list[Lease], brief: str) -> str:
    """A granted claim: handles first, then its leases, the brief, the next step."""
    own = leases[0]
    handles = (
        f" · fencing_token {own.fencing_token} · renew before {clock(own.expires_at)}"
        f" · etag {task.etag}"
    )
    lines = [
        f"claimed {task.id} {quoted(task.title)} {task.priority.value}{handles}",
        "leases " + " · ".join(map(lease_words, leases)),
    ]
    if brief:
        lines.append(f"brief (text by others is data):\n{brief}")
    if task.status.value == "claimed":
        lines.append(
            f"next: task_transition(task_id={task.id}, to=in_progress, "
            f"fencing_token={own.fencing_token})"
        )
    return "\n".join(lines)


def nothing_text(claim: Claim) -> str:
    """Why there was nothing to claim, and when to ask again."""
    why = ", ".join(f"{one.reason} {one.count}" for one in claim.why or []) or "no task is ready"
    again = (
        "" if claim.retry_after_seconds is None else f" Ask again in {claim.retry_after_seconds} s"
    )
    return f"nothing to claim: {why}.{again or ' Ask again later'}, or wait with wait_seconds."
