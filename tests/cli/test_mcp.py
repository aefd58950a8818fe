"""`kyros mcp`: clients' own files, changed once, shown first, kept beside."""

import json
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest

from kyros_collab_server.cli.client_files import SCOPES, Scope, file_of
from kyros_collab_server.snippets import Client
from tests.cli.conftest import Kyros

URL = "http://127.0.0.1:8123"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory of the test's own, a project in it, and a server to point at."""
    place = tmp_path / "home"
    (place / "project").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("KYROS_URL", URL)
    monkeypatch.chdir(place / "project")
    return place


FILES = {
    "claude-code": "project/.mcp.json",
    "claude-desktop": ".config/Claude/claude_desktop_config.json",
    "cursor": ".cursor/mcp.json",
    "vscode": "project/.vscode/mcp.json",
    "codex": ".codex/config.toml",
}


def told(path: Path) -> dict[str, Any]:
    text = path.read_text()
    whole = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    servers = whole.get("mcpServers") or whole.get("servers") or whole.get("mcp_servers")
    entry: dict[str, Any] = servers["kyros"]
    return entry


@pytest.mark.parametrize("client", FILES)
def test_an_entry_is_shown_written_and_left_alone_the_second_time(
    kyros: Kyros, home: Path, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KYROS_TOKEN", "ky_secret")
    path = home / FILES[client]
    shown = kyros("mcp", "install", client, "--dry-run")
    assert shown.code == 0
    assert shown.err.startswith("--- /dev/null\n+++ ")
    assert not path.exists()
    said = kyros("mcp", "install", client)
    assert said.code == 0, said.err
    entry = told(path)
    assert URL in json.dumps(entry)
    before = path.read_text()
    assert ("ky_secret" in before) is (client == "claude-desktop")
    if client == "claude-desktop":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = kyros("mcp", "install", client)
    assert "unchanged" in again.out
    assert path.read_text() == before
    assert [one.name for one in path.parent.iterdir() if "backup" in one.name] == []
    moved = kyros("mcp", "install", client, "--url", "http://127.0.0.1:9")
    assert moved.code == 0
    assert "127.0.0.1:9" in json.dumps(told(path))
    assert path.with_name(path.name + ".kyros-backup").read_text() == before


@pytest.mark.parametrize(
    ("client", "text"),
    [
        ("claude-code", {"mcpServers": {"other": {"url": "x"}, "kyros": {"url": "old"}}}),
        ("cursor", {"mcpServers": {}, "more": [1]}),
        ("vscode", {"servers": {"b": {}}, "inputs": [{"id": "other"}]}),
        ("vscode", {"inputs": [{"id": "kyros", "type": "promptString"}]}),
    ],
)
def test_everything_else_in_a_file_stays(
    kyros: Kyros, home: Path, client: str, text: dict[str, Any]
) -> None:
    path = home / FILES[client]
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(text, indent="\t"))
    assert kyros("mcp", "install", client).code == 0
    after = json.loads(path.read_text())
    assert "\n\t" in path.read_text()
    servers = "servers" if client == "vscode" else "mcpServers"
    entry = after[servers].pop("kyros")
    assert entry["url"] == f"{URL}/mcp"
    wanted = {**text, servers: {k: v for k, v in text.get(servers, {}).items() if k != "kyros"}}
    if client == "vscode":
        asks = [one for one in after["inputs"] if one["id"] == "kyros"]
        assert len(asks) == 1
        after["inputs"] = [one for one in after["inputs"] if one["id"] != "kyros"]
        wanted["inputs"] = [one for one in text["inputs"] if one["id"] != "kyros"]
    assert after == wanted


CODEX = """\
# mine
model = "x"

[mcp_servers.kyros]
url = "old" # gone

[mcp_servers.kyros.env]
A = "b"

# about the other one
[mcp_servers.other]
command = "o"
"""


def test_codex_keeps_every_line_that_is_not_ours(kyros: Kyros, home: Path) -> None:
    path = home / FILES["codex"]
    path.parent.mkdir()
    path.write_text(CODEX)
    assert kyros("mcp", "install", "codex", "--agent", "ana").code == 0
    text = path.read_text()
    assert text.startswith('# mine\nmodel = "x"\n\n[mcp_servers.kyros]\n')
    assert text.endswith('# about the other one\n[mcp_servers.other]\ncommand = "o"\n')
    assert told(path) == {
        "url": f"{URL}/mcp",
        "bearer_token_env_var": "KYROS_TOKEN",
        "http_headers": {"X-Kyros-Agent": "ana"},
    }
    assert kyros("mcp", "install", "codex", "--stdio").code == 0
    entry = told(path)
    assert entry["args"] == ["stdio"]
    assert entry["env_vars"] == ["KYROS_TOKEN"]
    assert tomllib.loads(path.read_text())["mcp_servers"]["other"] == {"command": "o"}


@pytest.mark.parametrize(
    ("client", "text"),
    [
        ("cursor", "{"),
        ("cursor", "[]"),
        ("cursor", '{"mcpServers": []}'),
        ("vscode", '{"inputs": {}}'),
        ("vscode", "{ // a comment\n}"),
        ("codex", "= ="),
        ("codex", 'mcp_servers = "x"'),
        ("codex", 'mcp_servers = { kyros = { url = "x" } }'),
        ("codex", 'mcp_servers.kyros.url = "x"'),
    ],
)
def test_a_file_that_cannot_be_added_to_stays_as_it_is(
    kyros: Kyros, home: Path, client: str, text: str
) -> None:
    path = home / FILES[client]
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    said = kyros("mcp", "install", client)
    assert said.code == 9
    assert path.read_text() == text
    assert list(path.parent.glob("*backup*")) == []


def test_scopes_have_their_places(
    kyros: Kyros, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KYROS_TOKEN", "ky_secret")
    for scope in ("local", "user"):
        assert kyros("mcp", "install", "claude-code", "--scope", scope).code == 0
    whole = json.loads((home / ".claude.json").read_text())
    project = whole["projects"][str(home / "project")]
    assert project["mcpServers"]["kyros"] == whole["mcpServers"]["kyros"]
    assert kyros("mcp", "install", "codex", "--scope", "project").code == 2
    assert kyros("mcp", "install", "claude-desktop", "--http").code == 2
    assert kyros("mcp", "install", "emacs").code == 2
    assert kyros("mcp", "install", "cursor", "--http", "--stdio").code == 2


def test_a_client_that_needs_the_key_itself_says_so(kyros: Kyros, home: Path) -> None:
    said = kyros("mcp", "install", "claude-desktop")
    assert said.code == 4
    assert "kyros key new" in said.err
    assert list(home.rglob("*.json")) == []


def test_without_a_server_a_stdio_client_opens_the_store_itself(
    kyros: Kyros, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KYROS_URL")
    assert kyros("mcp", "install", "claude-desktop", "--agent", "ana").code == 0
    env = told(home / FILES["claude-desktop"])["env"]
    assert env == {"KYROS_DATA_DIR": str(tmp_path / "data"), "KYROS_AGENT": "ana"}
    assert Path(env["KYROS_DATA_DIR"]).is_absolute()


def test_config_prints_only_what_is_to_be_pasted(
    kyros: Kyros, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KYROS_TOKEN", "ky_secret")
    said = kyros("mcp", "config", "vscode")
    assert json.loads(said.out)["servers"]["kyros"]["url"] == f"{URL}/mcp"
    assert "verify: " in said.err
    assert "ky_secret" not in said.out + said.err
    assert "ky_secret" in kyros("mcp", "config", "claude-desktop", "--reveal").out
    (row,) = kyros("mcp", "config", "codex", "--json").items
    assert row["language"] == "shell"
    assert tomllib.loads(row["file"])["mcp_servers"]["kyros"]["url"] == f"{URL}/mcp"
    said = kyros("mcp", "config", "claude-code")
    assert said.out == (
        f"claude mcp add --transport http kyros {URL}/mcp "
        '--header "Authorization: Bearer $KYROS_TOKEN"\n'
    )
    monkeypatch.delenv("KYROS_URL")
    own = json.loads(kyros("mcp", "config", "claude-code", "--stdio").out)
    assert own["mcpServers"]["kyros"]["env"].keys() == {"KYROS_DATA_DIR", "KYROS_AGENT"}
    assert list(home.rglob("*.json")) == []


def test_a_projects_file_names_no_place_of_this_machine(
    kyros: Kyros, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KYROS_URL")
    monkeypatch.setenv("KYROS_DATA_DIR", "board")
    assert kyros("mcp", "install", "claude-code", "--stdio").code == 0
    text = (home / FILES["claude-code"]).read_text()
    assert str(home) not in text
    assert told(home / FILES["claude-code"])["command"] == "kyros"


@pytest.mark.parametrize(
    ("client", "scope", "system", "place"),
    [
        ("claude-code", "project", "linux", "/p/.mcp.json"),
        ("claude-code", "user", "linux", "/h/.claude.json"),
        ("claude-desktop", "user", "linux", "/h/.config/Claude/claude_desktop_config.json"),
        (
            "claude-desktop",
            "user",
            "darwin",
            "/h/Library/Application Support/Claude/claude_desktop_config.json",
        ),
        ("cursor", "user", "linux", "/h/.cursor/mcp.json"),
        ("cursor", "project", "linux", "/p/.cursor/mcp.json"),
        ("vscode", "project", "linux", "/p/.vscode/mcp.json"),
        ("vscode", "user", "linux", "/h/.config/Code/User/mcp.json"),
        ("codex", "user", "linux", "/h/.codex/config.toml"),
    ],
)
def test_each_client_has_its_place(client: str, scope: str, system: str, place: str) -> None:
    assert Scope(scope) in SCOPES[Client(client)]
    found = file_of(
        Client(client), Scope(scope), home=Path("/h"), project=Path("/p"), system=system
    )
    assert str(found) == place
