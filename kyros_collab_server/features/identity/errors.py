"""What identity refuses."""

from kyros_collab_server.kernel.errors import Kind, KyrosError


class WorkspaceExists(KyrosError):
    """A workspace of this name exists."""

    code = "already_exists"
    kind = Kind.CONFLICT

    def __init__(self) -> None:
        super().__init__("The name is taken.", fix="Take another name.", thing="workspace")
