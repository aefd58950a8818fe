"""What the inbox refuses."""

from kyros_collab_server.kernel.errors import Kind, KyrosError


class UnknownRecipient(KyrosError):
    """No agent of this workspace has that name or role."""

    code = "not_found"
    kind = Kind.NOT_FOUND

    def __init__(self) -> None:
        super().__init__(
            "No agent of this workspace answers to a name or role in `to`.",
            fix="Name registered agents, role:<role>, or all.",
            thing="agent",
        )
