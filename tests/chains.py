"""Logs for tests that read them: chained by the specification, not by our code."""

import hashlib
from typing import Any

import rfc8785

GENESIS = "0" * 64


def chained(count: int, workspace: str = "default", **first: Any) -> list[tuple[str, str]]:
    """`(body, hash)` of a log's events, with all that makes texts differ in shape."""
    lines: list[tuple[str, str]] = []
    prev_hash = GENESIS
    for seq in range(1, count + 1):
        line = {
            "seq": seq,
            "ts": f"2026-01-31T10:00:{seq % 60:02}.000Z",
            "event": ("note", "task_created", "build.passed")[seq % 3],
            "actor": "agent:ana",
            "target": None if seq % 4 else f"task:T-{seq}",
            "details": {"text": f'né "{seq}" \\ \u20ac', "n": seq, "deep": {"event": "x"}},
            "workspace": workspace,
            "request_id": f"rq_{seq:016x}",
            "prev_hash": prev_hash,
            **(first if seq == 1 else {}),
            **({"trace_id": "t1"} if seq % 5 == 0 else {}),
        }
        body = rfc8785.dumps(line).decode()
        prev_hash = hashlib.sha256((prev_hash + body).encode()).hexdigest()
        lines.append((body, prev_hash))
    return lines


def exported(lines: list[tuple[str, str]]) -> list[bytes]:
    """Each event with its hash inside, as canonical JSON on a line."""
    import json

    return [rfc8785.dumps({**json.loads(body), "hash": digest}) for body, digest in lines]
