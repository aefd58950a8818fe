"""What is pasted into clients: each parses as what it says it is, and carries no secret."""

import base64
import json
import shlex
import tomllib
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from kyros_collab_server.snippets import (
    Client,
    Language,
    Snippet,
    Transport,
    document,
    entry,
    snippet,
    snippets,
    toml,
)

URL = "http://127.0.0.1:8000"
EVERY = [(client, transport) for client in Client for transport in Transport]


def values(tree: Any) -> list[str]:
    """Every string in a tree."""
    if isinstance(tree, dict):
        return [text for value in tree.values() for text in values(value)]
    if isinstance(tree, list):
        return [text for value in tree for text in values(value)]
    return [tree] if isinstance(tree, str) else []


def parsed(one: Snippet) -> list[str]:
    """The words or strings of a snippet, read by its own language."""
    if one.language is Language.JSON:
        return values(json.loads(one.text))
    if one.language is Language.TOML:
        return values(tomllib.loads(one.text))
    return [word for line in one.text.splitlines() for word in shlex.split(line)]


@pytest.mark.parametrize(("client", "transport"), EVERY)
def test_each_snippet_parses_and_names_this_server(client: Client, transport: Transport) -> None:
    words = parsed(snippet(client, transport, URL))
    assert any(URL in word for word in words)
    assert any(
        "KYROS_TOKEN" in word or "${input:kyros}" in word or word == "<your key>" for word in words
    )


@pytest.mark.parametrize(("client", "transport"), EVERY)
@pytest.mark.parametrize("token", ["ky_abc", "odd \"$(rm)\" 'token'"])
def test_a_token_that_is_given_arrives_whole(
    client: Client, transport: Transport, token: str
) -> None:
    words = parsed(snippet(client, transport, URL, token=token))
    assert any(token in word for word in words)


def test_five_clients_are_told_both_ways_without_a_secret() -> None:
    every = snippets(URL)
    assert len(every) == 2 * len({one.client for one in every}) == 10
    assert all(one.places and one.verify for one in every)
    assert not any("ky_" in one.text + (one.link or "") for one in every)


def test_a_client_that_needs_a_public_address_is_given_stdio_and_told_so() -> None:
    given = snippet(Client.CLAUDE_DESKTOP, Transport.HTTP, URL)
    assert (given.transport, given.note is None) == (Transport.STDIO, False)


def test_stdio_clients_name_their_agent() -> None:
    for client in Client:
        assert entry(client, Transport.STDIO, URL)["env"]["KYROS_AGENT"] == client.value
        named = entry(client, Transport.STDIO, URL, agent="ana")
        assert named["env"]["KYROS_AGENT"] == "ana"


def test_links_open_installers_with_the_same_entry() -> None:
    cursor = snippet(Client.CURSOR, Transport.HTTP, URL)
    query = parse_qs(urlsplit(cursor.link or "").query)
    assert json.loads(base64.b64decode(query["config"][0])) == entry(
        Client.CURSOR, Transport.HTTP, URL
    )
    code = snippet(Client.VS_CODE, Transport.HTTP, URL).link or ""
    assert json.loads(unquote(code.partition("?")[2]))["url"] == f"{URL}/mcp"
    assert snippet(Client.CODEX, Transport.HTTP, URL).link is None


@pytest.mark.parametrize("transport", list(Transport))
def test_a_table_reads_back_from_its_toml(transport: Transport) -> None:
    table = entry(Client.CODEX, transport, URL, token='a "quoted" \\ key')
    assert tomllib.loads(toml(table)) == {"mcp_servers": {"kyros": table}}
    assert document(Client.CODEX, transport, URL, token='a "quoted" \\ key') == {
        "mcp_servers": {"kyros": table}
    }
