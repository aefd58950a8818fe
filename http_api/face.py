"""What every endpoint stands on."""

from dataclasses import dataclass, field

from http_api.caller import Callers
from http_api.metrics import Metrics
from http_api.recent import Recent
from http_api.ring import Rings
from http_api.sse import StreamSlots
from kyros_collab_server.application import Kyros
from kyros_collab_server.settings import Settings


@dataclass(frozen=True)
class Face:
    """The door, the settings, and what the face itself keeps between calls."""

    kyros: Kyros
    settings: Settings
    callers: Callers
    rings: Rings
    slots: StreamSlots
    metrics: Metrics
    recent: Recent
    bodies: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    """Encoded boards by workspace and view, with the tag that each is of."""
