"""`python -m tests.contract.openapi_snapshot` writes docs/openapi.json anew."""

import json
from pathlib import Path
from typing import Any

from http_api.app import ENDPOINTS
from http_api.openapi import document
from kyros_collab_server.bootstrap import version
from tests.house.tree import ROOT

SNAPSHOT: Path = ROOT / "docs" / "openapi.json"


def made() -> dict[str, Any]:
    return document(ENDPOINTS, version())


def text(openapi: dict[str, Any]) -> str:
    return json.dumps(openapi, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SNAPSHOT.write_text(text(made()))
