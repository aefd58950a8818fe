"""Answers kept for replay: scoped to principal, agent, operation and workspace."""

from typing import TYPE_CHECKING

from kyros_collab_server.store.dialect import Params

if TYPE_CHECKING:
    from kyros_collab_server.store.work import SqlWork

GET = """
SELECT digest, answer FROM idempotency WHERE workspace = :workspace AND principal = :principal
AND actor = :actor AND operation = :operation AND key = :key AND t > :since
"""
PUT = """
INSERT INTO idempotency (workspace, principal, actor, operation, key, digest, answer, t)
VALUES (:workspace, :principal, :actor, :operation, :key, :digest, :answer, :t)
ON CONFLICT (workspace, principal, actor, operation, key)
DO UPDATE SET digest = excluded.digest, answer = excluded.answer, t = excluded.t
"""
PRUNE = "DELETE FROM idempotency WHERE t <= :before"


class SqlReplays:
    """The stored answers of a work's caller."""

    def __init__(self, work: "SqlWork") -> None:
        self._work = work

    def get(self, operation: str, key: str, kept_ms: int) -> tuple[str, str] | None:
        """`(digest, answer)` of a success that is not older than `kept_ms`, or None."""
        since = self._work.now - kept_ms
        row = self._work.db.one(GET, {**self._scope(operation, key), "since": since})
        return None if row is None else (row[0], row[1])

    def put(self, operation: str, key: str, digest: str, answer: str) -> None:
        """The success is replayed from now on."""
        self._work.db.run(
            PUT,
            {
                **self._scope(operation, key),
                "digest": digest,
                "answer": answer,
                "t": self._work.now,
            },
        )

    def prune(self, kept_ms: int) -> None:
        """Answers older than `kept_ms` are gone, in every workspace."""
        self._work.db.run(PRUNE, {"before": self._work.now - kept_ms})

    def _scope(self, operation: str, key: str) -> Params:
        principal = self._work.principal
        return {
            "workspace": self._work.workspace,
            "principal": principal.id,
            "actor": principal.actor,
            "operation": operation,
            "key": key,
        }
