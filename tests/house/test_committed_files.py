"""What no committed file may contain, whatever its kind."""

import re
from pathlib import Path

import pytest

from tests.house.tree import ROOT, files

# Written so that the patterns do not find themselves.
REGISTRY_HOST = re.compile(
    r"p[y]pi\.org|pythonh[o]sted|registry\.n[p]mjs|n[p]mmirror|registry\.y[a]rnpkg|"
    r"d[e]b\.debian|archive\.u[b]untu|d[l]-cdn\.alpinelinux|ghcr\.i[o]/|"
    r'"resolved": *"h[t]tp',
    re.IGNORECASE,
)
MACHINE_PATH = re.compile(
    r"(?<![\w.~%-])/(?:(?:r[o]ot|w[o]rk|f[a]rm|opt/w[h]eels)(?=[/\s\"'`),:]|$)|"
    r"h[o]me/\w|[U]sers/\w)"
)
RUBBISH = ["*.db", "*.db-wal", "*.db-shm", ".env", "uv.lock", "*.pyc", "*.orig", "*.rej"]


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    found: list[str] = []
    for path in files():
        raw = (ROOT / path).read_bytes()
        if b"\0" in raw[:8192]:
            continue
        found += [
            f"{path}:{number}"
            for number, line in enumerate(raw.decode(errors="replace").splitlines(), 1)
            if pattern.search(line)
        ]
    return found


def test_no_file_names_a_package_registry() -> None:
    assert lines_with(REGISTRY_HOST) == []


def test_no_file_names_a_path_of_one_machine() -> None:
    assert lines_with(MACHINE_PATH) == []


def test_no_database_and_no_local_setting_is_committed() -> None:
    assert files(*RUBBISH) == []


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (REGISTRY_HOST, "https://files.python" + "hosted.org/packages/x.whl"),
        (REGISTRY_HOST, '"resolved": ' + '"https://somewhere/x.tgz"'),
        (MACHINE_PATH, "see /" + "root/notes"),
        (MACHINE_PATH, 'path = "/' + 'home/somebody/x"'),
        (MACHINE_PATH, "cd /" + "work"),
    ],
)
def test_a_planted_line_is_found(pattern: re.Pattern[str], line: str) -> None:
    assert pattern.search(line)


@pytest.mark.parametrize("line", ["/workspaces/default", "collab/work/x", "$HOME/x", "/rooted"])
def test_an_ordinary_path_is_left_alone(line: str) -> None:
    assert not MACHINE_PATH.search(line)


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_requirement_is_pinned_and_hashed_and_names_no_index(name: str) -> None:
    text = (ROOT / Path(name)).read_text().replace("\\\n", " ")
    requirements = [row for row in text.splitlines() if row.strip()]
    assert requirements
    for row in requirements:
        assert re.match(r"[a-z0-9][\w.-]*(\[[\w,]+\])?==\S+ .*--hash=sha256:[0-9a-f]{64}", row), row
        assert "://" not in row, row
        assert not re.search(r"--(index|extra-index|find-links|trusted-host)", row), row


def test_the_requirements_pin_every_declared_dependency() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    pinned = (ROOT / "requirements-dev.txt").read_text()
    names = {re.match(r"[\w.-]+", wanted)[0] for wanted in declared}  # type: ignore[index]
    assert {name for name in names if not re.search(rf"^{name}==", pinned, re.MULTILINE)} == set()
