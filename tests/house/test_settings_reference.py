"""`.env.example` says what `settings.py` says, and so does everything that names a setting."""

import re

from kyros_collab_server.settings import settings_reference
from tests.house.env_example import PATH, render
from tests.house.tree import ROOT, files

SETTING = re.compile(r"\bKYROS_[A-Z][A-Z0-9_]*[A-Z0-9]\b")
# Read by the build and the tests, or given to the child of `lease run`; not by the server.
NOT_SETTINGS = {
    "KYROS_FENCING_TOKEN",
    "KYROS_LEASE_ID",
    "KYROS_PROOF_KILLS",
    "KYROS_SKIP_CONSOLE",
    "KYROS_TEST_POSTGRES_URL",
}


def test_the_example_says_what_the_settings_say() -> None:
    assert PATH.read_text() == render(settings_reference()), "run `make env-example`"


def test_every_setting_is_described_and_named_after_the_product() -> None:
    for name, _, description in settings_reference():
        assert SETTING.fullmatch(name), name
        assert description.strip(), name


def test_no_document_and_no_script_names_a_setting_that_does_not_exist() -> None:
    known = {name for name, _, _ in settings_reference()} | NOT_SETTINGS
    for path in files("*.md", "Makefile", "*.yaml", "*.yml", ".ci/*", "scripts/*"):
        named = set(SETTING.findall((ROOT / path).read_text()))
        assert named <= known, path
