"""What the house checks look at: the files git knows, and the packages."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("kyros_collab_server", "http_api", "runner")
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


def files(*patterns: str) -> list[Path]:
    """Files that are committed or about to be, as paths below the root."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    paths = sorted({Path(name) for name in listed.split("\0") if name})
    return [path for path in paths if (ROOT / path).is_file()]


def python_files(*folders: str) -> list[Path]:
    return files(*(f"{folder}/*.py" for folder in folders))


def parsed(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(), filename=str(path))


def classes_and_functions(tree: ast.AST) -> Iterator[ast.ClassDef | FUNCTION]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | FUNCTION):
            yield node
