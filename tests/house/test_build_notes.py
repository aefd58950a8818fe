"""Every dependency says why it is here."""

import re
import tomllib

from tests.house.tree import ROOT


def test_every_dependency_has_its_reason_in_the_build_notes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["worker"],
        *project["dependency-groups"]["dev"],
        *(ROOT / "requirements-build.in").read_text().split(),
    ]
    notes = (ROOT / "docs" / "BUILD_NOTES.md").read_text()
    explained = set(re.findall(r"^\| ([a-z0-9-]+) \| \S", notes, re.MULTILINE)) - {"package"}
    assert {re.split(r"[\[<>=]", wanted)[0] for wanted in declared} == explained
