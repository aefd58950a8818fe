"""Identity over REST: who one is, workspaces, and API keys."""

from http_api.endpoint import Endpoint
from kyros_collab_server.features.identity import service
from kyros_collab_server.features.identity.errors import WorkspaceExists
from kyros_collab_server.kernel.errors import EtagMismatch, NotFound

ENDPOINTS = [
    Endpoint("GET", "/auth/me", service.whoami, "Read whom the server takes the caller for."),
    Endpoint("GET", "/workspaces", service.list_workspaces, "List the workspaces one may enter."),
    Endpoint(
        "POST",
        "/workspaces",
        service.create_workspace,
        "Open a new, empty board.",
        status=201,
        errors=(WorkspaceExists, NotFound),
        tagged=True,
    ),
    Endpoint(
        "PATCH",
        "/workspaces/{id}",
        service.update_workspace,
        "Change a workspace's settings.",
        errors=(NotFound, EtagMismatch),
        takes_if_match=True,
        tagged=True,
        things={"id": "workspace"},
    ),
    Endpoint("GET", "/api-keys", service.list_keys, "List API keys, without their secrets."),
    Endpoint(
        "POST",
        "/api-keys",
        service.create_key,
        "Make an API key; its secret is shown this once.",
        status=201,
        errors=(NotFound,),
    ),
    Endpoint(
        "DELETE",
        "/api-keys/{id}",
        service.revoke_key,
        "Revoke an API key.",
        errors=(NotFound,),
        things={"id": "key"},
    ),
    Endpoint(
        "POST",
        "/api-keys/{id}/revoke",
        service.revoke_key,
        "Revoke an API key.",
        errors=(NotFound,),
        things={"id": "key"},
    ),
]
