"""Every arrow of `.importlinter` breaks when somebody walks against it.

`make check` runs the contracts over the real tree; here they run over a skeleton of it, clean and
then with one import planted, so that a contract that can no longer fail is noticed.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tree import ROOT

CORE = "kyros_collab_server"
FEATURES = ("agents", "events", "identity", "leases", "messages", "tasks")
SKELETON = [
    *(f"{CORE}/{path.name}" for path in (ROOT / CORE).glob("*.py") if path.stem != "__init__"),
    *(f"{CORE}/{name}/__init__.py" for name in ("cli", "mcp_face", "store", "adapters", "kernel")),
    *(f"{CORE}/cli/{name}.py" for name in ("serve", "worker", "task")),
    *(
        f"{CORE}/features/{feature}/{name}.py"
        for feature in FEATURES
        for name in ("__init__", "model", "errors", "rules", "ports", "service")
    ),
    f"{CORE}/features/leases/globs.py",
    "http_api/__init__.py",
    "runner/__init__.py",
]
# contract, file that steps out of line, what it imports (nothing: the file itself is the offence)
PLANTS = [
    ("core-layers", f"{CORE}/application.py", f"{CORE}.store"),
    ("core-layers", f"{CORE}/store/__init__.py", f"{CORE}.adapters"),
    ("core-layers", f"{CORE}/features/tasks/service.py", f"{CORE}.settings"),
    ("core-layers", f"{CORE}/kernel/__init__.py", f"{CORE}.features"),
    ("core-layers", f"{CORE}/mcp_face/__init__.py", f"{CORE}.bootstrap"),
    ("core-layers", f"{CORE}/elsewhere.py", None),
    ("faces-look-inward", f"{CORE}/bootstrap.py", "http_api"),
    ("faces-look-inward", f"{CORE}/cli/task.py", "runner"),
    ("faces-independent", "http_api/__init__.py", f"{CORE}.mcp_face"),
    ("faces-independent", "http_api/__init__.py", "runner"),
    ("faces-skip-nothing", "http_api/__init__.py", f"{CORE}.store"),
    ("faces-skip-nothing", "http_api/__init__.py", f"{CORE}.features.leases.rules"),
    ("faces-skip-nothing", f"{CORE}/mcp_face/__init__.py", f"{CORE}.features.tasks.ports"),
    ("runner-coordinates-through-tools", "runner/__init__.py", f"{CORE}.features.tasks.service"),
    ("feature-ladder", f"{CORE}/features/leases/rules.py", f"{CORE}.features.tasks.model"),
    ("feature-ladder", f"{CORE}/features/agents/rules.py", f"{CORE}.features.messages.model"),
    ("feature-ladder", f"{CORE}/features/elsewhere.py", None),
    ("inside-a-feature", f"{CORE}/features/tasks/errors.py", f"{CORE}.features.tasks.rules"),
    ("inside-a-feature", f"{CORE}/features/leases/globs.py", f"{CORE}.features.leases.rules"),
    ("inside-a-feature", f"{CORE}/features/tasks/elsewhere.py", None),
    ("rules-decide", f"{CORE}/features/tasks/rules.py", f"{CORE}.features.leases.service"),
    ("no-framework-inside", f"{CORE}/features/events/service.py", "sqlalchemy"),
    ("no-framework-inside", f"{CORE}/application.py", "starlette"),
]


@pytest.fixture
def skeleton(tmp_path: Path) -> Path:
    """An empty house with the contracts of the real one."""
    for name in SKELETON:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        for package in path.relative_to(tmp_path).parents[:-1]:
            (tmp_path / package / "__init__.py").touch()
    shutil.copy(ROOT / ".importlinter", tmp_path)
    return tmp_path


def lint(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", code, "--no-cache", *arguments],
        cwd=tree,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_empty_house_keeps_every_contract(skeleton: Path) -> None:
    done = lint(skeleton)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("contract", "offender", "imported"), PLANTS)
def test_a_step_against_the_arrows_breaks_its_contract(
    skeleton: Path, contract: str, offender: str, imported: str | None
) -> None:
    (skeleton / offender).write_text(f"import {imported}\n" if imported else "")
    done = lint(skeleton, "--contract", contract)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "BROKEN" in done.stdout, done.stdout + done.stderr


def test_every_contract_has_a_planted_offence() -> None:
    text = (ROOT / ".importlinter").read_text()
    declared = {part.split("]")[0] for part in text.split("[importlinter:contract:")[1:]}
    assert declared == {contract for contract, _, _ in PLANTS}
