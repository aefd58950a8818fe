"""`kyros stdio`: the MCP face on stdin and stdout, over the local store."""

import logging

from kyros_collab_server.application import Kyros
from kyros_collab_server.features.leases import service as leases
from kyros_collab_server.features.leases.model import LeaseState, ListLeases, RenewLeases
from kyros_collab_server.kernel.errors import KyrosError
from kyros_collab_server.kernel.principal import Principal
from kyros_collab_server.mcp_face import sdk_gaps
from kyros_collab_server.mcp_face.caller import StdioCaller
from kyros_collab_server.mcp_face.keeper import LeaseKeeper
from kyros_collab_server.mcp_face.pipes import serve_pipes
from kyros_collab_server.mcp_face.server import new_face
from kyros_collab_server.settings import Settings

log = logging.getLogger(__name__)

ASK_AGAIN_TTL_SECONDS = 3.0
"""After a store that did not answer, what is held is looked at again in a third of this."""


async def run_stdio(kyros: Kyros, settings: Settings) -> None:
    """Serve one MCP client on stdin and stdout until it closes them.

    Raises:
        Unauthenticated: `KYROS_TOKEN` is not a valid key.
        NotFound: `KYROS_WORKSPACE` is not one of the key's.
    """
    callers = StdioCaller(kyros, settings)
    if settings.token or settings.agent:
        await callers.resolved(None)
    face = new_face(kyros, settings, callers, sessions=True)
    low = sdk_gaps.lowlevel(face.server)
    keeper = LeaseKeeper(LocalHoldings(kyros, callers))
    low.middleware.append(keeper)
    async with face.subscriptions.running():
        await serve_pipes(low, keeper.run)


class LocalHoldings:
    """What the caller of this process holds in the store that the process has open."""

    def __init__(self, kyros: Kyros, callers: StdioCaller) -> None:
        self._kyros = kyros
        self._callers = callers

    async def shortest_ttl(self) -> float | None:
        """The shortest TTL in seconds of what is held; None when nothing is."""
        actor = await self._actor()
        if actor is None:
            return None
        try:
            held = await self._kyros.perform(
                leases.list_leases, ListLeases(holder=actor.actor), actor=actor
            )
        except KyrosError as refusal:
            log.warning("leases_not_read", extra={"code": refusal.code})
            return ASK_AGAIN_TTL_SECONDS
        live = [lease.ttl_seconds for lease in held.data if lease.state is LeaseState.ACTIVE]
        return min(live, default=None)

    async def renew(self) -> None:
        """Everything that is held lives a full TTL longer; what is lost is logged."""
        actor = await self._actor()
        if actor is None:
            return
        try:
            renewed = await self._kyros.perform(leases.renew, RenewLeases(), actor=actor)
        except KyrosError as refusal:
            log.warning("leases_not_renewed", extra={"code": refusal.code})
            return
        for lost in renewed.lost:
            log.warning("lease_lost", extra={"lock_id": lost.lock_id, "holder": lost.holder})

    async def _actor(self) -> Principal | None:
        """The caller as of now; None before its first message, or when its key is revoked."""
        known = self._callers.last
        if known is None:
            return None
        try:
            return await self._callers.resolved(known.client)
        except KyrosError as refusal:
            log.warning("caller_refused", extra={"code": refusal.code})
            return None
