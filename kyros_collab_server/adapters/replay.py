"""Replay: the state that a log leads to, event by event, as JSON."""

from collections.abc import Callable, Mapping
from typing import Any

from kyros_collab_server.adapters.event_file import FileEvent
from kyros_collab_server.features.events.model import EventName
from kyros_collab_server.features.messages import rules as addresses
from kyros_collab_server.features.messages.errors import UnknownRecipient

N = EventName


class Replay:
    """What stands on the board after the events taken so far.

    Heartbeats, `last_seen` and what was acknowledged are not in the log; what has no event stays
    as its last event left it.
    """

    def __init__(self, delivered_through: int = 0) -> None:
        self.seq = 0
        self.ts = ""
        self.workspace = ""
        self.tasks: dict[str, dict[str, Any]] = {}
        self.places: dict[str, int] = {}
        self.agents: dict[str, dict[str, Any]] = {}
        self.held: dict[str, dict[str, Any]] = {}
        self.ended: dict[str, dict[str, Any]] = {}
        self.inboxes: dict[str, list[dict[str, Any]]] = {}
        """Messages after `delivered_through`; what came before is known from elsewhere."""
        self._delivered_through = delivered_through
        self._takes: Mapping[str, Callable[[str, FileEvent], None]] = {
            N.TASK_CREATED: self._task_created,
            N.TASK_UPDATED: self._task_changed,
            N.TASK_TRANSITIONED: self._task_changed,
            N.TASK_CLAIMED: self._task_changed,
            N.TASK_REQUEUED: self._task_changed,
            N.AGENT_REGISTERED: self._agent_registered,
            N.AGENT_STATUS_CHANGED: self._agent_changed,
            N.LEASE_ACQUIRED: self._lease_acquired,
            N.LEASE_RELEASED: self._lease_ended,
            N.LEASE_RECLAIMED: self._lease_ended,
        }

    def take(self, event: FileEvent) -> None:
        """The event happened.

        Raises:
            KeyError, TypeError, AttributeError: it does not tell what an event of its name tells.
        """
        told = event.told
        self.seq, self.ts, self.workspace = event.seq, told["ts"], told["workspace"]
        takes = self._takes.get(told["event"])
        if takes is not None:
            takes((told["target"] or "").partition(":")[2], event)
        if event.seq > self._delivered_through and isinstance(told["details"].get("to"), list):
            self._deliver(event)

    def _task_created(self, task_id: str, event: FileEvent) -> None:
        details = event.told["details"]
        about = {"version": details["version"], "etag": details["etag"]}
        self.tasks[task_id] = {**details["task"], **about}
        self.places[task_id] = event.seq

    def _task_changed(self, task_id: str, event: FileEvent) -> None:
        self._change(self.tasks[task_id], event)
        self.tasks[task_id]["updated_at"] = event.told["ts"]

    def _agent_registered(self, name: str, event: FileEvent) -> None:
        details = event.told["details"]
        about = {"version": details["version"], "etag": details["etag"]}
        self.agents[name] = {**details["agent"], **about}

    def _agent_changed(self, name: str, event: FileEvent) -> None:
        self._change(self.agents[name], event)
        self.agents[name]["last_seen"] = event.told["ts"]

    @staticmethod
    def _change(entity: dict[str, Any], event: FileEvent) -> None:
        details = event.told["details"]
        entity.update({name: both["after"] for name, both in details["changes"].items()})
        entity.update({"version": details["version"], "etag": details["etag"]})

    def _lease_acquired(self, lock_id: str, event: FileEvent) -> None:
        details = event.told["details"]
        since = self.held.get(lock_id, {}).get("acquired_at", event.told["ts"])
        self.held[lock_id] = {
            "lock_id": details["lock_id"],
            "resource": details["resource"],
            "mode": details["mode"],
            "holder": details["holder"],
            "task_id": details.get("task_id"),
            "acquired_at": since,
            "ttl_seconds": details["ttl_seconds"],
            "heartbeat_at": event.told["ts"],
            "fencing_token": details["fencing_token"],
        }

    def _lease_ended(self, lock_id: str, event: FileEvent) -> None:
        lease = self.held.pop(lock_id)
        told = event.told
        is_reclaimed = told["event"] == N.LEASE_RECLAIMED
        beat = told["details"].get("heartbeat_at", lease["heartbeat_at"])
        how = "reclaimed" if is_reclaimed else "released"
        over = {"heartbeat_at": beat, "ended": how, "ended_at": told["ts"]}
        self.ended[lock_id] = {**lease, **over}

    def _deliver(self, event: FileEvent) -> None:
        told = event.told
        members = [(name, agent["role"]) for name, agent in self.agents.items()]
        try:
            reached = addresses.recipients(told["details"]["to"], members)
        except UnknownRecipient:
            return  # somebody's own member `to`, not an address
        message = {
            "seq": event.seq,
            "ts": told["ts"],
            "author": told["actor"],
            "event": told["event"],
            "target": told["target"],
            "text": told["details"].get("text", ""),
        }
        for name in reached:
            self.inboxes.setdefault(name, []).append(message)
