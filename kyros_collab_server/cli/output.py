"""What commands print: tables for people, tab-separated lines and JSON for programs."""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

from kyros_collab_server.cli.failures import usage

SCHEMA_VERSION = 1
GAP = 2
LEAST_WIDTH = 12
"""Of the column that a narrow terminal cuts."""
Row = Mapping[str, Any]

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
_LINE_ENDS = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


@dataclass(frozen=True)
class Column:
    """One column of a table: the field it shows, and how a person reads it."""

    field: str
    title: str
    show: "Callable[[Any, Row], tuple[str, str]] | None" = None
    """Text and style on a terminal; None shows the value as programs get it."""
    shrinks: bool = False
    """True for the one column that a narrow terminal cuts first."""


def plain(value: Any) -> str:
    """One value as programs get it in a tab-separated line: nothing cut, always one line."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return visible(",".join(value)).translate(_LINE_ENDS)
    if isinstance(value, list | dict):
        return visible(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    return visible(str(value)).translate(_LINE_ENDS)


def visible(text: str) -> str:
    """The text with every character that could command a terminal shown as its code point."""
    return _UNSEEN.sub(lambda found: f"<U+{ord(found.group()):04X}>", text)


def dump(value: Any) -> str:
    """One JSON value on one line."""
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


@dataclass
class Output:
    """Where and how one command prints. Data goes to `out`, hints to `err`."""

    as_json: bool = False
    fields: tuple[str, ...] = ()
    quiet: bool = False
    verbose: bool = False
    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)

    @property
    def on_terminal(self) -> bool:
        """True when a person reads: tables, colour, relative time."""
        return self.out.isatty()

    def items(
        self,
        rows: Sequence[Row],
        columns: Sequence[Column],
        *,
        ident: str = "id",
        next_cursor: str | None = None,
        footer: str = "",
    ) -> None:
        """Print a list: ids, JSON, tab-separated lines, or a table."""
        rows = [self._chosen(row) for row in rows] if self.as_json or self.fields else rows
        if self.as_json:
            self._json(rows, next_cursor)
        elif self.quiet:
            self._lines([plain(row.get(ident)) for row in rows])
        elif self.on_terminal and not self.fields:
            self._table(rows, columns, footer)
        else:
            names = self.fields or [column.field for column in columns]
            self._lines(["\t".join(plain(row[name]) for name in names) for row in rows])
        if next_cursor is not None and not self.as_json:
            self.hint(f"more: --cursor {next_cursor}")

    def changed(
        self, sentence: str, row: Row, *, ident: str = "id", undo: str = "", dry_run: bool = False
    ) -> None:
        """Say what a write changed, the new etag, and the command that takes it back."""
        extra: dict[str, Any] = {"changed": sentence, "dry_run": dry_run}
        if undo:
            extra["undo"] = undo
        row = {**row, **extra}
        if self.as_json:
            self._json([self._chosen(row)], None)
        elif self.quiet:
            self._lines([plain(row.get(ident))])
        elif self.fields:
            row = self._chosen(row)
            self._lines(["\t".join(plain(row[name]) for name in self.fields)])
        else:
            etag = f"  etag {row['etag']}" if row.get("etag") else ""
            self._lines([("would have " if dry_run else "") + visible(sentence) + etag])
            if undo and not dry_run:
                self.hint(f"undo: {undo}")

    def record(self, row: Row, text: str, *, ident: str = "id") -> None:
        """Print one thing in full: its JSON, its chosen fields, or a text for people."""
        if self.as_json or self.fields:
            row = self._chosen(row)
        if self.as_json:
            self._json([row], None)
        elif self.quiet:
            self._lines([plain(row.get(ident))])
        elif self.fields:
            self._lines(["\t".join(plain(row[name]) for name in self.fields)])
        else:
            self._lines(text.splitlines())

    def hint(self, text: str) -> None:
        """Say something beside the data, on stderr; `--quiet` keeps it."""
        if not self.quiet:
            print(visible(text), file=self.err, flush=True)

    def line(self, text: str) -> None:
        """Print one line of a stream and hand it over at once."""
        print(text, file=self.out, flush=True)

    def check_fields(self, row: Row) -> None:
        """Pass when the row has every field that `--fields` names.

        Raises:
            Failure: names the first that it has not, and those that it has.
        """
        if missing := [name for name in self.fields if name not in row]:
            raise usage(f"There is no field {missing[0]}.", "fields: " + ", ".join(row))

    def _chosen(self, row: Row) -> Row:
        self.check_fields(row)
        return {name: row[name] for name in self.fields} if self.fields else row

    def _json(self, rows: Sequence[Row], next_cursor: str | None) -> None:
        page = {"schema_version": SCHEMA_VERSION, "items": rows, "next_cursor": next_cursor}
        self._lines([dump(page)])

    def _lines(self, lines: Sequence[str]) -> None:
        self.out.write("".join(f"{line}\n" for line in lines))
        self.out.flush()

    def _table(self, rows: Sequence[Row], columns: Sequence[Column], footer: str) -> None:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        console = Console(file=self.out, highlight=False, markup=False, emoji=False)
        if rows:
            table = Table(box=None, pad_edge=False, header_style="dim")
            cells = [[Text(*_cell(column, row)) for column in columns] for row in rows]
            widest = [
                max(len(column.title), *(line[place].cell_len for line in cells))
                for place, column in enumerate(columns)
            ]
            fixed = sum(w for w, column in zip(widest, columns, strict=True) if not column.shrinks)
            left = max(LEAST_WIDTH, console.width - fixed - GAP * len(columns))
            for column in columns:
                width = left if column.shrinks else None
                table.add_column(column.title, no_wrap=True, overflow="ellipsis", max_width=width)
            for line in cells:
                table.add_row(*line)
            console.print(table)
        if footer:
            console.print(Text(footer, "dim"))


def _cell(column: Column, row: Row) -> tuple[str, str]:
    value = row.get(column.field)
    if column.show is None:
        return plain(value), ""
    text, style = column.show(value, row)
    return visible(text).translate(_LINE_ENDS), style
