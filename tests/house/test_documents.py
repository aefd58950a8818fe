"""What documents name exists: targets, commands, options, links, files; and no speed is boasted."""

import json
import re
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

from kyros_collab_server.__main__ import COMMANDS, MODULES
from kyros_collab_server.mcp_face.server import CATALOG
from tests.house.tree import ROOT, files

DOCUMENTS = files("*.md")
ARCHITECTURE = ROOT / "docs" / "ARCHITECTURE.md"
README = ROOT / "README.md"
SUMMARY = ROOT / "SUMMARY.md"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
TARGET = re.compile(r"^([a-z][a-z0-9-]*):", re.MULTILINE)
MADE_AT_RUN = {"credentials.json"}
SUFFIXES = (".py", ".md", ".toml", ".json", ".svg", ".ini", ".txt")
# Where a path in ARCHITECTURE may begin: it writes `store/lane.py` and `features/…` for short.
ROOTS = ("", "kyros_collab_server", "kyros_collab_server/mcp_face", "http_api")
SPEED = re.compile(
    r"\d\s*(?:(?:ms|µs|milliseconds|microseconds)\b|(?:\w+\s)?(?:a|per) second\b|/s\b"
    r"|times (?:as|faster|slower)|×)"
)


def code(text: str) -> Iterator[str]:
    """The lines of every fenced block, and every span of code between backticks."""
    for _, block in FENCE.findall(text):
        yield from block.replace("\\\n", " ").splitlines()
    yield from SPAN.findall(FENCE.sub("", text))


def fenced(path: Path, language: str) -> list[str]:
    return [block for name, block in FENCE.findall(path.read_text()) if name == language]


def words_after(program: str, path: Path) -> Iterator[list[str]]:
    """The words that follow `make` or `kyros` wherever it is called in code."""
    for line in code((ROOT / path).read_text()):
        called = rf"(?:^|[\s;(/\"]){program} +([^`;|)\"#…]*)"
        for match in re.finditer(called, line):
            words = match[1].split()
            if words and re.fullmatch(r"[a-z][a-z-]*[.,:]?", words[0]):
                yield words


def slugs(path: Path) -> set[str]:
    """The anchors of a document's headings."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def command(group: str) -> Any:
    module = import_module(f"kyros_collab_server.cli.{MODULES.get(group, group)}")
    return typer.main.get_command(module.app)


def refused(words: list[str]) -> str | None:
    """Why `kyros <words>` cannot be typed as it stands, or None."""
    first = words[0].rstrip(".,:")
    if first not in COMMANDS:
        return f"no command {first}"
    found, rest = command(first), words[1:]
    commands = getattr(found, "commands", None)
    if commands and rest and re.match(r"[a-z]", rest[0]):
        if rest[0] not in commands:
            return f"no command {first} {rest[0]}"
        found, rest = commands[rest[0]], rest[1:]
        if "not available yet" in (found.help or ""):
            return f"{first} {found.name} is not available yet"
    options = {
        name for parameter in found.params for name in (*parameter.opts, *parameter.secondary_opts)
    }
    for word in rest[: rest.index("--")] if "--" in rest else rest:
        if word.startswith("--") and word.split("=")[0] not in {*options, "--help"}:
            return f"no option {word}"
    return None


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_every_make_target_that_is_named_exists(path: Path) -> None:
    targets = set(TARGET.findall((ROOT / "Makefile").read_text()))
    assert [words[0] for words in words_after("make", path) if words[0] not in targets] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_every_command_that_is_named_can_be_typed(path: Path) -> None:
    found = {" ".join(words): refused(words) for words in words_after("kyros", path)}
    assert {words: reason for words, reason in found.items() if reason} == {}


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    here = ROOT / path
    lost = []
    for link in LINK.findall(FENCE.sub("", here.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        there = (here.parent / name) if name else here
        is_lost = not there.exists() or (anchor and anchor not in slugs(there))
        if is_lost or not there.resolve().is_relative_to(ROOT):
            lost.append(link)
    assert lost == []


def named_files(path: Path) -> Iterator[tuple[str, str]]:
    """`(path, name inside it)` of every file or folder that a document names in code."""
    for span in SPAN.findall(FENCE.sub("", path.read_text())):
        name, _, inside = span.partition(":")
        is_path = re.fullmatch(r"[\w.][\w./-]*", name) and name.endswith(("/", *SUFFIXES))
        if is_path and name not in MADE_AT_RUN:
            yield name, inside


def places(name: str) -> list[Path]:
    """Where a named file lies; a bare `rules.py` stands for those of all features."""
    if "/" in name:
        return [at for root in ROOTS if (at := ROOT / root / name).exists()]
    return [ROOT / path for path in files(f"*/{name}", name)]


@pytest.mark.parametrize(
    "path", [ARCHITECTURE, ROOT / "docs" / "SECURITY.md"], ids=lambda p: p.name
)
def test_every_file_that_is_named_exists_and_holds_what_is_named_in_it(path: Path) -> None:
    wrong = []
    for name, inside in named_files(path):
        found = places(name)
        holds = any(re.search(rf"\b{inside}\b", at.read_text()) for at in found) if inside else True
        if not found or not holds:
            wrong.append(f"{name}:{inside}")
    assert wrong == []


@pytest.mark.parametrize("path", [README, ARCHITECTURE], ids=lambda p: p.name)
def test_no_figure_of_speed_stands_without_the_measurement(path: Path) -> None:
    paragraphs = path.read_text().split("\n\n")
    boasts = [one for one in paragraphs if SPEED.search(one) and "BENCHMARKS.md" not in one]
    assert boasts == []


@pytest.mark.parametrize("boast", ["18,000 writes a second", "p99 7 ms", "2 times as fast", "3 µs"])
def test_a_planted_figure_of_speed_is_found(boast: str) -> None:
    assert SPEED.search(f"It takes {boast}.")


@pytest.mark.parametrize(
    "words", ["fly", "task fly", "task list --fly", "lease fly x", "serve --fly"]
)
def test_a_planted_command_is_found(words: str) -> None:
    assert refused(words.split())


def test_the_architecture_is_read_in_one_sitting() -> None:
    assert len(ARCHITECTURE.read_text().splitlines()) <= 300


def test_every_snippet_of_the_readme_parses() -> None:
    for block in fenced(README, "json"):
        json.loads(block)
    for block in fenced(README, "toml"):
        tomllib.loads(block)
    assert len(fenced(README, "json")) >= 3


def test_the_picture_is_whole_and_loads_nothing_from_elsewhere() -> None:
    for path in files("docs/img/*.svg"):
        text = (ROOT / path).read_text()
        ET.fromstring(text)
        assert not re.search(r"href|url\((?!#)|@import|<image|<script", text), path
        assert "prefers-color-scheme: dark" in text, path


def test_the_summary_names_every_route_and_every_tool() -> None:
    text = SUMMARY.read_text()
    routes = json.loads((ROOT / "docs" / "openapi.json").read_text())["paths"]
    assert [path for path in routes if f"{path}`" not in text] == []
    assert [tool.name for tool in CATALOG if f"`{tool.name}`" not in text] == []
