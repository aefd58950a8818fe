"""`kyros guard`: an exit code and one line, from the store or a server, for people and hooks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pysqlite3 import dbapi2 as sqlite

from tests.cli.conftest import PROGRAM, ROOT, WAIT, Kyros, Said, Served, environment


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kyros: Kyros) -> Path:
    """A working tree on whose paths bo and ana hold leases; the test stands in it as ana."""
    top = tmp_path / "repository"
    (top / ".git").mkdir(parents=True)
    (top / "src" / "deep").mkdir(parents=True)
    monkeypatch.chdir(top)
    for agent, resource in (
        ("bo", "path:src/**"),
        ("bo", "path:web/*.lock"),
        ("bo", "path:notes.md"),
        ("ana", "path:docs/**"),
        ("ana", "path:*.txt"),
    ):
        assert kyros("lease", "acquire", resource, "--agent", agent).code == 0
    monkeypatch.setenv("KYROS_AGENT", "ana")
    return top


def shifted(tmp_path: Path, statement: str) -> None:
    with sqlite.connect(str(tmp_path / "data" / "kyros.db")) as raw:
        raw.execute(statement)
    raw.close()


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("src/a.py", 6),
        ("src/deep/", 6),
        ("src", 6),
        ("./src/../src/a.py", 6),
        ("notes.md", 6),
        ("notes.markdown", 0),
        ("srcs/a.py", 0),
        ("web/yarn.lock", 6),
        ("yarn.lock", 0),
        ("web/a/yarn.lock", 0),
        ("docs/a.md", 0),
        ("readme.txt", 0),
        ("s*/[a].py", 6),
        ("src/naïve\u0301.py", 6),
        ("elsewhere.md", 0),
        ("../outside.py", 0),
        ("/etc/passwd", 0),
    ],
)
@pytest.mark.usefixtures("repository")
def test_a_path_is_refused_when_anothers_live_lease_covers_it(
    kyros: Kyros, path: str, code: int
) -> None:
    said = kyros("guard", path)
    assert (said.code, said.out) == (code, "")
    lines = said.err.splitlines()
    assert len(lines) == (1 if code else 0)
    if code:
        assert "agent:bo" in lines[0]
        assert lines[0].startswith("lease_held: ")


@pytest.mark.usefixtures("repository")
def test_the_line_names_holder_lease_witness_and_end(kyros: Kyros) -> None:
    (line,) = kyros("guard", "**/*.md").err.splitlines()
    assert "agent:bo holds path:src/**, which covers src/" in line
    assert ".md, until 20" in line
    assert "300 s" in line or "299 s" in line
    told = kyros("guard", "--json", "src/a.py")
    assert told.json["error"]["code"] == "lease_held"


@pytest.mark.usefixtures("repository")
def test_the_holder_itself_may_write(kyros: Kyros) -> None:
    assert kyros("guard", "--agent", "bo", "src/a.py", "web/yarn.lock").code == 0
    assert kyros("guard", "--agent=bo", "docs/a.md").code == 6


@pytest.mark.parametrize(
    ("path", "code"),
    [("docs/a.md", 0), ("docs/", 0), ("a.txt", 0), ("docs/a*", 0), ("free.md", 6), ("*", 6)],
)
@pytest.mark.usefixtures("repository")
def test_with_require_lease_ones_own_lease_must_cover_it(
    kyros: Kyros, path: str, code: int
) -> None:
    assert kyros("lease", "release", *_locks(kyros, "notes.md"), "--agent", "bo", "-y").code == 0
    assert kyros("lease", "release", *_locks(kyros, "web/*.lock"), "--agent", "bo", "-y").code == 0
    said = kyros("guard", "--require-lease", path)
    assert said.code == code
    assert ("lease_required" in said.err) is bool(code)


def _locks(kyros: Kyros, glob: str) -> list[str]:
    return kyros("lease", "list", "--resource", f"path:{glob}", "--quiet").out.split()


@pytest.mark.usefixtures("repository")
def test_a_shared_lease_is_no_leave_to_write(kyros: Kyros) -> None:
    assert kyros("lease", "acquire", "path:api/**", "--mode", "shared").code == 0
    assert kyros("guard", "api/a.js").code == 0
    assert kyros("guard", "api/a.js", "--require-lease").code == 6
    assert kyros("guard", "api/a.js", "--agent", "cy").code == 6


@pytest.mark.usefixtures("repository")
def test_a_lease_past_its_time_holds_nobody_off(kyros: Kyros, tmp_path: Path) -> None:
    later = "UPDATE store_meta SET value = value + 300000 WHERE name = 'clock_offset_ms'"
    shifted(tmp_path, "INSERT OR IGNORE INTO store_meta VALUES ('clock_offset_ms', '0')")
    shifted(tmp_path, later.replace("300000", "290000"))
    assert kyros("guard", "src/a.py").code == 6
    shifted(tmp_path, later)
    assert kyros("guard", "src/a.py").code == 0
    assert kyros("guard", "docs/a.md", "--require-lease").code == 6
    shifted(tmp_path, "UPDATE store_meta SET value = 'another' WHERE name = 'boot_id'")
    assert kyros("guard", "src/a.py").code == 6


def test_a_path_through_a_link_is_asked_for_under_both_names(
    kyros: Kyros, repository: Path
) -> None:
    (repository / "link").symlink_to(repository / "src")
    (repository / "one.py").symlink_to("src/a.py")
    assert kyros("guard", "link/a.py").code == 6
    assert kyros("guard", "one.py").code == 6
    (repository / "notes.md").symlink_to("/etc/hostname")
    assert kyros("guard", "notes.md").code == 6


@pytest.mark.usefixtures("repository")
def test_a_key_stands_for_its_agent_and_its_workspace(
    kyros: Kyros, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KYROS_AGENT")
    made = kyros("key", "new", "builder", "--json", "--fields", "key").items
    monkeypatch.setenv("KYROS_TOKEN", made[0]["key"])
    assert kyros("lease", "acquire", "path:build/**").code == 0
    assert kyros("guard", "build/x", "--require-lease").code == 0
    monkeypatch.delenv("KYROS_TOKEN")
    assert kyros("guard", "build/x").code == 6
    assert kyros("workspace", "new", "other").code == 0
    assert kyros("guard", "build/x", "--workspace", "other").code == 0


def hooked(text: str, *words: str, **more: str) -> Said:
    done = subprocess.run(
        [*PROGRAM, "guard", *words],
        input=text,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def asked(path: object, cwd: Path, tool: str = "Write") -> str:
    name = "notebook_path" if tool == "NotebookEdit" else "file_path"
    return json.dumps(
        {
            "session_id": "s",
            "hook_event_name": "PreToolUse",
            "cwd": str(cwd),
            "tool_name": tool,
            "tool_input": {name: str(path), "content": "x"},
        }
    )


def test_a_hook_is_refused_with_two_and_told_why_on_stderr(
    repository: Path, tmp_path: Path
) -> None:
    store = {"KYROS_DATA_DIR": str(tmp_path / "data"), "KYROS_AGENT": "ana"}
    for tool in ("Write", "Edit", "NotebookEdit"):
        text = asked(repository / "src" / "a.py", repository / "docs", tool)
        said = hooked(text, "--hook", **store)
        assert (said.code, said.out) == (2, "")
        assert "agent:bo holds path:src/**" in said.err
    free = asked(repository / "free.py", repository)
    assert hooked(free, "--hook", **store).code == 0
    assert hooked(free, "--hook", "--require-lease", **store).code == 2
    outside = asked("/tmp/x", repository)
    assert hooked(outside, "--hook", "--require-lease", **store).code == 0
    command = json.dumps({"tool_name": "Bash", "tool_input": {"command": "ls"}})
    assert hooked(command, "--hook", **store).code == 0


@pytest.mark.parametrize("text", ["", "not JSON", "[]", "null", "[" * 100_000])
def test_a_hook_that_cannot_be_understood_blocks(text: str, tmp_path: Path) -> None:
    assert hooked(text, "--hook", KYROS_DATA_DIR=str(tmp_path)).code == 2


def test_where_there_is_no_board_a_hook_lets_pass_and_a_call_says_so(
    kyros: Kyros, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = kyros("guard", "a.py")
    assert (said.code, "no_store" in said.err) == (3, True)
    text = asked(tmp_path / "a.py", tmp_path)
    assert hooked(text, "--hook", KYROS_DATA_DIR=str(tmp_path / "data")).code == 0
    assert not (tmp_path / "data").exists()


@pytest.mark.usefixtures("repository")
def test_paths_are_read_from_stdin_in_one_call(tmp_path: Path) -> None:
    store = {"KYROS_DATA_DIR": str(tmp_path / "data"), "KYROS_AGENT": "ana"}
    assert hooked("a b.md\0docs/x\n.md\0", "--stdin", **store).code == 0
    assert hooked("a.md\0src/x.py\0", "--stdin", **store).code == 6
    assert hooked("a.md\nsrc/x.py\n", "--stdin", **store).code == 6
    assert hooked("", "--stdin", **store).code == 0


def test_bad_words_are_usage(kyros: Kyros) -> None:
    for words in (["--no-such"], [], ["--hook=1"]):
        said = kyros("guard", *words)
        assert (said.code, len(said.err.splitlines())) == (2, 1)
    assert "--require-lease" in kyros("guard", "--help").out


def test_a_file_that_is_no_store_is_said_to_be_unreadable(kyros: Kyros, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "kyros.db").write_bytes(b"nothing" * 999)
    assert kyros("guard", "a.py").code == 9
    text = asked(tmp_path / "a.py", tmp_path)
    assert hooked(text, "--hook", KYROS_DATA_DIR=str(tmp_path / "data")).code == 2


def test_a_server_is_asked_when_one_is_named(
    remote: Kyros, server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    assert remote("lease", "acquire", "path:src/**", "--agent", "bo").code == 0
    said = remote("guard", "src/a.py", "--agent", "ana")
    assert said.code == 6
    assert "agent:bo holds path:src/**" in said.err
    assert remote("guard", "src/a.py", "--agent", "bo", "--require-lease").code == 0
    assert remote("guard", "docs/a.md").code == 0
    assert remote("guard", "src/a.py").code == 6
    monkeypatch.setenv("KYROS_TOKEN", "ky_none")
    assert remote("guard", "src/a.py").code == 4
    monkeypatch.delenv("KYROS_TOKEN")
    assert remote("guard", "src/a.py").code == 4
    monkeypatch.setenv("KYROS_TOKEN", server.ready["token"])
    assert remote("guard", "src/a.py", "--url", "http://127.0.0.1:1").code == 7
    assert remote("guard", "src/a.py", "--url", "file:///etc/passwd").code == 2


@pytest.mark.usefixtures("repository")
def test_guard_needs_the_standard_library_only(tmp_path: Path) -> None:
    code = (
        "import sys; from kyros_collab_server.__main__ import main\n"
        "code = main(['guard', sys.argv[1]])\n"
        "roots = {name.partition('.')[0] for name in sys.modules}\n"
        "ours = {'kyros_collab_server', '__main__'}\n"
        "print(code, sorted(roots - sys.stdlib_module_names - ours))\n"
        "print(sorted({'typing', 'dataclasses', 'json', 're'} & set(sys.modules)))"
    )
    for path, heavy in (("src/a.py", []), ("free.py", []), ("web/x.lock", ["dataclasses"])):
        done = subprocess.run(
            [
                sys.executable,
                "-I",
                "-S",
                "-c",
                f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}",
                path,
            ],
            env=environment(KYROS_DATA_DIR=str(tmp_path / "data"), KYROS_AGENT="ana"),
            capture_output=True,
            text=True,
            timeout=WAIT,
            check=True,
        )
        first, second = done.stdout.splitlines()
        assert first.endswith(" []")
        assert all(name in second for name in heavy)
        assert heavy or second == "[]", "each of them costs milliseconds of every edit"
