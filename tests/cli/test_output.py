"""What commands print, apart from what they do."""

import io
import json
import re

import pytest

from kyros_collab_server.cli import looks
from kyros_collab_server.cli.failures import Failure
from kyros_collab_server.cli.output import Column, Output, plain, visible

ROWS = [
    {"id": "T-1", "title": "One", "tags": ["a", "b"]},
    {"id": "T-2", "title": "Two", "tags": []},
]
COLUMNS = [Column("id", "ID"), Column("title", "TITLE", shrinks=True)]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(**options: object) -> Output:
    return Output(out=io.StringIO(), err=io.StringIO(), **options)  # type: ignore[arg-type]


def text(output: Output) -> tuple[str, str]:
    assert isinstance(output.out, io.StringIO)
    assert isinstance(output.err, io.StringIO)
    return output.out.getvalue(), output.err.getvalue()


def test_without_a_terminal_a_list_is_tab_separated_lines_without_a_header() -> None:
    output = printed()
    output.items(ROWS, COLUMNS, footer="2 things")
    assert text(output) == ("T-1\tOne\nT-2\tTwo\n", "")


def test_json_is_one_page_with_its_schema_version() -> None:
    output = printed(as_json=True)
    output.items(ROWS, COLUMNS, next_cursor="abc")
    page = json.loads(text(output)[0])
    assert page == {"schema_version": 1, "items": ROWS, "next_cursor": "abc"}


def test_fields_choose_and_order_the_columns() -> None:
    output = printed(fields=("tags", "id"))
    output.items(ROWS, COLUMNS)
    assert text(output)[0] == "a,b\tT-1\n\tT-2\n"


def test_an_unknown_field_is_a_usage_error_that_names_the_known_ones() -> None:
    with pytest.raises(Failure) as refused:
        printed(fields=("nope",)).items(ROWS, COLUMNS)
    assert refused.value.exit_code == 2
    assert "title" in refused.value.hint


def test_quiet_prints_ids_alone_and_no_hints() -> None:
    output = printed(quiet=True)
    output.items(ROWS, COLUMNS, next_cursor="abc")
    output.changed("did it", ROWS[0], undo="undo it")
    assert text(output) == ("T-1\nT-2\nT-1\n", "")


def test_a_write_says_what_changed_with_its_etag_and_the_way_back() -> None:
    output = printed()
    output.changed("made T-1", {"id": "T-1", "etag": '"1-a"'}, undo="kyros undo")
    assert text(output) == ('made T-1  etag "1-a"\n', "undo: kyros undo\n")


def test_a_dry_run_says_what_would_have_been() -> None:
    output = printed()
    output.changed("made T-1", {"id": "T-1"}, undo="kyros undo", dry_run=True)
    assert text(output) == ("would have made T-1\n", "")


def test_a_table_is_cut_to_the_terminal_and_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("TERM", "xterm")
    output = Output(out=Terminal(), err=io.StringIO())
    output.items([{"id": "T-1", "title": "x" * 80}], COLUMNS, footer="1 thing")
    lines = re.sub("\x1b\\[[0-9;]*m", "", text(output)[0]).splitlines()
    assert lines[0].split() == ["ID", "TITLE"]
    assert lines[1].startswith("T-1")
    assert lines[1].rstrip().endswith("…")
    assert max(map(len, lines)) <= 30
    assert lines[-1].strip() == "1 thing"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (True, "true"),
        (3, "3"),
        ("a\tb\nc", "a\\tb\\nc"),
        (["a", "b"], "a,b"),
        ([{"id": 1}], '[{"id":1}]'),
        ({"a": "\x1b[31m"}, '{"a":"\\u001b[31m"}'),
    ],
)
def test_a_value_is_always_one_cell_of_one_line(value: object, shown: str) -> None:
    assert plain(value) == shown


def test_no_text_of_others_commands_the_terminal() -> None:
    assert visible("a\x1b[2Jb\u202ec") == "a<U+001B>[2Jb<U+202E>c"


@pytest.mark.parametrize(
    ("seconds", "said"), [(5, "5 s"), (90, "1 min"), (7_200, "2 h"), (200_000, "2 d")]
)
def test_a_duration_is_said_in_its_largest_unit(seconds: float, said: str) -> None:
    assert looks.duration(seconds) == said
