"""What the agents feature refuses."""

from kyros_collab_server.kernel.errors import Kind, KyrosError


class AgentNameTaken(KyrosError):
    """Another principal of this workspace uses this agent name."""

    code = "agent_name_taken"
    kind = Kind.CONFLICT

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The name {name} belongs to another principal.",
            fix="Take another name (X-Kyros-Agent, KYROS_AGENT), or a key of your own.",
            agent=name,
        )
