"""One summary of what the proofs counted, printed when the run ends."""

import pytest
from _pytest.terminal import TerminalReporter

from tests.proof.summary import Summary

SUMMARY = pytest.StashKey[Summary]()


@pytest.fixture(scope="session")
def summary(pytestconfig: pytest.Config) -> Summary:
    """What is said here is printed at the end."""
    return pytestconfig.stash.setdefault(SUMMARY, Summary())


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    found = config.stash.get(SUMMARY, Summary())
    if found.lines:
        terminalreporter.section("proofs")
        for line in found.lines:
            terminalreporter.write_line(line)
