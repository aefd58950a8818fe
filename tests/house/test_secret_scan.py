"""The secret scan of `make check` finds what must never be committed."""

import json
from pathlib import Path

import pytest
from detect_secrets.core.scan import scan_file
from detect_secrets.settings import transient_settings

from tests.house.tree import ROOT

# In parts, so that the scan of this file stays quiet.
RANDOM = "aB3dE6gH9" + "jK2mN5pQ8" + "sT1vW4yZ7" + "bC0dE3fG6"
PLANTED = {
    "Anthropic Key": "sk-ant" + "-api03-" + RANDOM,
    "Google Key": "AI" + "za" + RANDOM[:35],
    "Kyros Key": "ky" + "_01jabcd_" + RANDOM,
    "GitHub Token": "gh" + "p_" + RANDOM,
    "Private Key": "-----BEGIN " + "PRIVATE KEY-----",
    "Basic Auth Credentials": "postgresql://kyros:" + "hunter2hunter2" + "@db.internal/kyros",
}


@pytest.mark.parametrize(("kind", "secret"), PLANTED.items())
def test_a_planted_secret_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, secret: str
) -> None:
    monkeypatch.chdir(ROOT)  # the baseline names our plugins relative to the root
    baseline = json.loads((ROOT / ".secrets.baseline").read_text())
    planted = tmp_path / "settings.py"
    planted.write_text(f'value = "{secret}"\n')
    with transient_settings(baseline):
        found = {secret.type for secret in scan_file(str(planted))}
    assert kind in found


def test_the_baseline_excuses_nothing() -> None:
    assert json.loads((ROOT / ".secrets.baseline").read_text())["results"] == {}
