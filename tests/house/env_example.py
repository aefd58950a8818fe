"""`.env.example` is written from the settings: `python -m tests.house.env_example` rewrites it."""

import textwrap
from collections.abc import Iterable

from tests.house.tree import ROOT

PATH = ROOT / ".env.example"
HEAD = """\
# Every setting of Kyros with its default; all are optional. Written by `make env-example` from
# kyros_collab_server/settings.py and checked by `make check`: change it there, not here.
"""


def render(reference: Iterable[tuple[str, object, str]]) -> str:
    """One paragraph a setting: what it means, then its name and default, commented out."""
    paragraphs = [HEAD]
    for name, default, description in reference:
        lines = textwrap.wrap(
            " ".join(description.split()),
            width=98,
            initial_indent="# ",
            subsequent_indent="# ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        shown = "" if default is None else str(default)
        paragraphs.append("\n".join([*lines, f"# {name}={shown}"]) + "\n")
    return "\n".join(paragraphs)


def main() -> None:
    from kyros_collab_server.settings import settings_reference

    PATH.write_text(render(settings_reference()))


if __name__ == "__main__":
    main()
