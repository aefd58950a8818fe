"""Decisions about messages: whom an address reaches."""

from collections.abc import Iterable

from kyros_collab_server.features.messages.errors import UnknownRecipient

ALL = "all"
ROLE = "role:"


def recipients(to: Iterable[str], members: Iterable[tuple[str, str | None]]) -> list[str]:
    """The agent names that an address list reaches, each once, in order.

    `members` are the name and role of every registered agent.

    `all` reaches every registered agent, `role:<role>` those of a role, `agent:<name>` or a bare
    name one agent; a bare word that is no agent's name is taken for a role.

    Raises:
        UnknownRecipient: an entry reaches nobody.
    """
    roles = dict(members)
    reached: dict[str, None] = {}
    for entry in to:
        bare = entry.removeprefix("agent:")
        if entry == ALL:
            found = sorted(roles)
        elif bare in roles:
            found = [bare]
        else:
            role = entry.removeprefix(ROLE)
            found = sorted(name for name, has in roles.items() if has == role)
        if not found and entry != ALL:
            raise UnknownRecipient
        reached.update(dict.fromkeys(found))
    return list(reached)
