"""What clients are told parses as what it is, and no secret goes where others read it."""

import base64
import json
import shlex
import tomllib
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from kyros_collab_server.clients import (
    SCOPES,
    Client,
    Connection,
    Scope,
    Snippet,
    Transport,
    entry,
    needs_literal_token,
    place_of,
    snippets,
)

URL = "http://127.0.0.1:8000"
SECRET = "ky_id_se'cr\"et"
CASES = [(client, transport) for client in Client for transport in Transport]


def parsed(snippet: Snippet) -> object:
    if snippet.language == "json":
        return json.loads(snippet.text)
    if snippet.language == "toml":
        return tomllib.loads(snippet.text)
    assert "\n" not in snippet.text
    return shlex.split(snippet.text)


@pytest.mark.parametrize(("client", "transport"), CASES)
@pytest.mark.parametrize("agent", ["", "ana"])
def test_every_snippet_parses_and_names_the_server(
    client: Client, transport: Transport, agent: str
) -> None:
    for token in ("", SECRET):
        for one in snippets(client, transport, Connection(URL, token, agent)):
            text = json.dumps(parsed(one))
            assert (f"{URL}/mcp" if transport is Transport.HTTP else f"{URL}") in text
            assert "stdio" in text or transport is Transport.HTTP
            assert one.place
            assert one.verify
            if transport is Transport.STDIO:
                assert (agent or client.value) in text


@pytest.mark.parametrize(("client", "transport"), CASES)
def test_without_a_key_none_is_made_up_and_links_never_hold_one(
    client: Client, transport: Transport
) -> None:
    for one in snippets(client, transport, Connection(URL)):
        if needs_literal_token(client, transport, Connection(URL)):
            assert "<key>" in one.text
            assert one.link is None
        else:
            assert "<key>" not in one.text
    assert all(one.link is None for one in snippets(client, transport, Connection(URL, SECRET)))


def test_the_usual_lines_are_those_of_the_specification() -> None:
    there = Connection(URL)
    assert snippets(Client.CLAUDE_CODE, Transport.HTTP, there)[0].text == (
        f"claude mcp add --transport http kyros {URL}/mcp "
        '--header "Authorization: Bearer $KYROS_TOKEN"'
    )
    assert snippets(Client.CODEX, Transport.HTTP, there)[0].text == (
        f"codex mcp add kyros --url {URL}/mcp --bearer-token-env-var KYROS_TOKEN"
    )
    words = shlex.split(snippets(Client.CODEX, Transport.STDIO, Connection(URL, SECRET))[0].text)
    assert words[:4] == ["codex", "mcp", "add", "kyros"]
    assert f"KYROS_TOKEN={SECRET}" in words
    assert words[-3:] == ["--", "kyros", "stdio"]
    assert entry(Client.CURSOR, Transport.HTTP, there) == {
        "url": f"{URL}/mcp",
        "headers": {"Authorization": "Bearer ${env:KYROS_TOKEN}"},
    }
    code = json.loads(snippets(Client.VS_CODE, Transport.HTTP, there)[0].text)
    assert code["inputs"][0]["id"] == "kyros"
    assert code["servers"]["kyros"]["headers"] == {"Authorization": "Bearer ${input:kyros}"}


def test_a_store_of_ones_own_needs_no_key() -> None:
    here = Connection(data_dir="/data")
    for client in Client:
        told = entry(client, Transport.STDIO, here)
        assert told["env"] == {"KYROS_DATA_DIR": "/data", "KYROS_AGENT": client.value}
        assert not needs_literal_token(client, Transport.STDIO, here)


def test_links_offer_the_same_entry() -> None:
    (cursor,) = snippets(Client.CURSOR, Transport.HTTP, Connection(URL))
    assert cursor.link is not None
    asked = parse_qs(urlsplit(cursor.link).query)
    told = json.loads(base64.b64decode(asked["config"][0]))
    assert told == entry(Client.CURSOR, Transport.HTTP, Connection(URL))
    (code,) = snippets(Client.VS_CODE, Transport.HTTP, Connection(URL))
    assert code.link is not None
    offered = json.loads(unquote(code.link.removeprefix("vscode:mcp/install?")))
    assert offered["name"] == "kyros"
    assert offered["url"] == f"{URL}/mcp"


@pytest.mark.parametrize(
    ("client", "scope", "system", "place"),
    [
        (Client.CLAUDE_CODE, Scope.PROJECT, "linux", "/p/.mcp.json"),
        (Client.CLAUDE_CODE, Scope.USER, "linux", "/h/.claude.json"),
        (
            Client.CLAUDE_DESKTOP,
            Scope.USER,
            "linux",
            "/h/.config/Claude/claude_desktop_config.json",
        ),
        (
            Client.CLAUDE_DESKTOP,
            Scope.USER,
            "darwin",
            "/h/Library/Application Support/Claude/claude_desktop_config.json",
        ),
        (Client.CURSOR, Scope.USER, "linux", "/h/.cursor/mcp.json"),
        (Client.CURSOR, Scope.PROJECT, "linux", "/p/.cursor/mcp.json"),
        (Client.VS_CODE, Scope.PROJECT, "linux", "/p/.vscode/mcp.json"),
        (Client.CODEX, Scope.USER, "linux", "/h/.codex/config.toml"),
    ],
)
def test_each_client_has_its_place(client: Client, scope: Scope, system: str, place: str) -> None:
    assert scope in SCOPES[client]
    found = place_of(client, scope, home=Path("/h"), project=Path("/p"), system=system)
    assert str(found) == place
