"""Who may call: keys and workspaces."""

from dataclasses import replace

from kyros_collab_server.features.events.model import EventName
from kyros_collab_server.features.identity import rules
from kyros_collab_server.features.identity.errors import WorkspaceExists
from kyros_collab_server.features.identity.model import (
    CreateKey,
    CreateWorkspace,
    Key,
    KeyCreated,
    KeyList,
    ListKeys,
    ListWorkspaces,
    Me,
    RevokeKey,
    UpdateWorkspace,
    WhoAmI,
    Workspace,
    WorkspaceList,
    WorkspaceSettings,
)
from kyros_collab_server.features.identity.ports import IdentityWork
from kyros_collab_server.features.identity.rules import KeyRecord
from kyros_collab_server.kernel.errors import EtagMismatch, NotFound
from kyros_collab_server.kernel.etag import canonical, etag_of, field_diff, matches
from kyros_collab_server.kernel.operation import operation
from kyros_collab_server.kernel.principal import Principal, Scope
from kyros_collab_server.kernel.time import rfc3339

LOCAL_PRINCIPAL = "local"
"""The principal of the machine's own user: the first key, and stdio without a token."""
USED_EVERY_MS = 60_000
"""`last_used_at` is written at most this often for one key."""


def _without_secret(answer: KeyCreated) -> KeyCreated:
    return answer.model_copy(update={"key": ""})


@operation(Scope.ADMIN, stored=_without_secret)
def create_key(work: IdentityWork, command: CreateKey) -> KeyCreated:
    """A new key works, and its secret is in this answer alone; a replay leaves it empty.

    Raises:
        InsufficientScope: the key would carry more than its maker does.
        Invalid: a workspace is unknown or not the maker's.
    """
    scopes = rules.granted_scopes(work.principal, command)
    workspaces = rules.granted_workspaces(work.principal, command)
    for workspace in workspaces:
        if workspace != "*" and work.workspaces.get(workspace) is None:
            raise NotFound("workspace")
    return mint(work, command, scopes, workspaces)


def mint(
    work: IdentityWork,
    command: CreateKey,
    scopes: tuple[str, ...],
    workspaces: tuple[str, ...],
    principal: str | None = None,
) -> KeyCreated:
    """Store a key and return it with its secret; checks nothing."""
    key_id, token = rules.new_token()
    expires = None
    if command.expires_in_seconds is not None:
        expires = work.wall_ms + command.expires_in_seconds * 1000
    record = KeyRecord(
        id=key_id,
        name=command.name,
        agent=command.agent,
        principal=principal or f"key:{key_id}",
        scopes=scopes,
        workspaces=workspaces,
        token_hash=rules.token_hash(token),
        created_at=work.ts,
        expires_wall_ms=expires,
        expires_at=None if expires is None else rfc3339(expires),
    )
    work.keys.insert(record)
    work.events.append(
        EventName.KEY_CREATED,
        f"key:{key_id}",
        {"name": command.name, "scopes": list(scopes), "workspaces": list(workspaces)},
    )
    return KeyCreated(key=token, **_published(record).model_dump())


def _published(record: KeyRecord) -> Key:
    return Key(
        id=record.id,
        name=record.name,
        agent=record.agent,
        scopes=[Scope(scope) for scope in record.scopes],
        workspaces=list(record.workspaces),
        created_at=record.created_at,
        expires_at=record.expires_at,
        revoked_at=record.revoked_at,
        last_used_at=record.last_used_at,
    )


def _may_see(principal: Principal, record: KeyRecord) -> bool:
    if "*" in principal.workspaces:
        return True
    return "*" not in record.workspaces and set(record.workspaces) <= set(principal.workspaces)


@operation(Scope.ADMIN, read=True)
def list_keys(work: IdentityWork, command: ListKeys) -> KeyList:
    """The keys whose workspaces the caller may all enter, newest first, without secrets."""
    records = [key for key in work.keys.all() if _may_see(work.principal, key)]
    return KeyList(data=[_published(record) for record in records])


@operation(Scope.ADMIN)
def revoke_key(work: IdentityWork, command: RevokeKey) -> Key:
    """The key admits no call any more. Revoking it twice changes nothing.

    Raises:
        NotFound: no such key, or not the caller's to see.
    """
    record = work.keys.get(command.id)
    if record is None or not _may_see(work.principal, record):
        raise NotFound("key")
    if record.revoked_at is None:
        record = replace(record, revoked_at=work.ts)
        work.keys.revoke(record)
        work.events.append(EventName.KEY_REVOKED, f"key:{record.id}", {"name": record.name})
    return _published(record)


def admitted(work: IdentityWork, token: str) -> KeyRecord | None:
    """The key that this token opens, or None."""
    key_id = rules.key_id_of(token)
    record = work.keys.get(key_id) if key_id else None
    if record is None or not rules.admits(record, token, work.wall_ms):
        return None
    return record


def use_is_due(work: IdentityWork, record: KeyRecord) -> bool:
    """True when the key's `last_used_at` is old enough to be written again."""
    return work.wall_ms - record.last_used_wall_ms >= USED_EVERY_MS


def workspace_names(work: IdentityWork) -> list[str]:
    """The names of all workspaces."""
    return [workspace.id for workspace in work.workspaces.all()]


def used(work: IdentityWork, key_id: str) -> None:
    """`last_used_at` of the key is right to the minute."""
    record = work.keys.get(key_id)
    if record is not None and use_is_due(work, record):
        work.keys.save_use(replace(record, last_used_at=work.ts, last_used_wall_ms=work.wall_ms))


@operation(read=True)
def whoami(work: IdentityWork, command: WhoAmI) -> Me:
    """The caller as the server sees it."""
    caller = work.principal
    return Me(
        principal=caller.id,
        agent=caller.agent,
        user=caller.user,
        actor=caller.actor,
        workspace=caller.workspace,
        workspaces=list(caller.workspaces),
        scopes=[scope for scope in Scope if scope in caller.scopes],
    )


def _sealed(name: str, settings: WorkspaceSettings, created_at: str, version: int) -> Workspace:
    body = canonical({"id": name, "settings": settings.model_dump(), "created_at": created_at})
    return Workspace(
        id=name,
        settings=settings,
        created_at=created_at,
        version=version,
        etag=etag_of(version, body),
    )


def open_workspace(work: IdentityWork, name: str, settings: WorkspaceSettings) -> Workspace:
    """Store a new workspace; checks nothing."""
    workspace = _sealed(name, settings, work.ts, 1)
    work.workspaces.insert(workspace)
    work.events.append(
        EventName.WORKSPACE_CREATED, f"workspace:{name}", {"settings": settings.model_dump()}
    )
    return workspace


@operation(Scope.ADMIN)
def create_workspace(work: IdentityWork, command: CreateWorkspace) -> Workspace:
    """A new, empty board exists.

    Raises:
        WorkspaceExists: the name is taken.
        NotFound: the caller is bound to other workspaces.
    """
    if not work.principal.may_enter(command.id):
        raise NotFound("workspace")
    if work.workspaces.get(command.id) is not None:
        raise WorkspaceExists
    return open_workspace(work, command.id, command.settings)


@operation(Scope.ADMIN)
def update_workspace(work: IdentityWork, command: UpdateWorkspace) -> Workspace:
    """The workspace has the new settings.

    Raises:
        NotFound: no such workspace, or not the caller's.
        EtagMismatch: `if_match` names an older version.
    """
    current = work.workspaces.get(command.id)
    if current is None or not work.principal.may_enter(command.id):
        raise NotFound("workspace")
    named = command.settings.model_dump(exclude_none=True)
    settings = current.settings.model_copy(update=named)
    if command.if_match is not None and not matches(command.if_match, current.etag):
        diff = field_diff(current.settings.model_dump(), settings.model_dump())
        shown = current.model_dump(mode="json")
        raise EtagMismatch(current.etag, shown, diff, f"Send If-Match: {current.etag}")
    if settings == current.settings:
        return current
    changed = _sealed(current.id, settings, current.created_at, current.version + 1)
    work.workspaces.save(changed)
    work.events.append(
        EventName.WORKSPACE_UPDATED,
        f"workspace:{current.id}",
        {"changes": field_diff(current.settings.model_dump(), settings.model_dump())},
    )
    return changed


@operation(Scope.TASKS_READ, read=True)
def list_workspaces(work: IdentityWork, command: ListWorkspaces) -> WorkspaceList:
    """The workspaces that the caller may enter, in order of their names."""
    mine = [one for one in work.workspaces.all() if work.principal.may_enter(one.id)]
    return WorkspaceList(data=mine)
