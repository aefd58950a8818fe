"""Contenders measured in turn (A B A B …), their medians, and ratios within each round."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Contender = Callable[[], "Sample"]


@dataclass(frozen=True)
class Sample:
    """One run of one contender."""

    operations: int
    wall_seconds: float
    cpu_seconds: float
    p99_ms: float | None = None

    @property
    def rate(self) -> float:
        """Operations a second."""
        return self.operations / self.wall_seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of the server's processor time for each operation."""
        return self.cpu_seconds * 1e6 / self.operations


@dataclass(frozen=True)
class Row:
    """Ours beside its floor: medians, and the median of the rounds' ratios."""

    what: str
    floor: str
    floor_rate: float
    floor_cpu_us: float
    rate: float
    cpu_us: float
    p99_ms: float | None
    ratio: float
    bar: float | None
    """The least ratio that is asked for; None where none is."""

    @property
    def verdict(self) -> str:
        """Whether the bar is met, in a word."""
        if self.bar is None:
            return ""
        return "met" if self.ratio >= self.bar else "not met"


@dataclass(frozen=True)
class Match:
    """Which contender stands against which floor."""

    ours: str
    floor: str
    bar: float | None = None


def compare(
    contenders: Mapping[str, Contender], matches: Sequence[Match], rounds: int
) -> list[Row]:
    """Every contender once a round, in turn; a first round is thrown away."""
    samples: dict[str, list[Sample]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, run in contenders.items():
            sample = run()
            if turn:
                samples[name].append(sample)
    return [_row(match, samples[match.ours], samples[match.floor]) for match in matches]


def _row(match: Match, ours: Sequence[Sample], floor: Sequence[Sample]) -> Row:
    tails = [sample.p99_ms for sample in ours if sample.p99_ms is not None]
    return Row(
        what=match.ours,
        floor=match.floor,
        floor_rate=statistics.median(sample.rate for sample in floor),
        floor_cpu_us=statistics.median(sample.cpu_us for sample in floor),
        rate=statistics.median(sample.rate for sample in ours),
        cpu_us=statistics.median(sample.cpu_us for sample in ours),
        p99_ms=statistics.median(tails) if tails else None,
        ratio=statistics.median(a.rate / b.rate for a, b in zip(ours, floor, strict=True)),
        bar=match.bar,
    )


HEADINGS = (
    "what",
    "ours/s",
    "floor",
    "floor/s",
    "ratio",
    "bar",
    "",
    "p99 ms",
    "CPU µs ours",
    "CPU µs floor",
)


def cells(row: Row) -> tuple[str, ...]:
    """The row as text."""
    return (
        row.what,
        f"{row.rate:,.0f}",
        row.floor,
        f"{row.floor_rate:,.0f}",
        f"{row.ratio:.2f}",
        "" if row.bar is None else f"≥ {row.bar:.2f}",
        row.verdict,
        "" if row.p99_ms is None else f"{row.p99_ms:.1f}",
        f"{row.cpu_us:.0f}",
        f"{row.floor_cpu_us:.0f}",
    )


def markdown(rows: Sequence[Row]) -> str:
    """The table, aligned, as Markdown."""
    table = [HEADINGS, *map(cells, rows)]
    widths = [max(3, *(len(line[column]) for line in table)) for column in range(len(HEADINGS))]
    numbers = {1, 3, 4, 7, 8, 9}

    def line(texts: Sequence[str]) -> str:
        padded = (
            text.rjust(width) if column in numbers else text.ljust(width)
            for column, (text, width) in enumerate(zip(texts, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = [
        "-" * (width - 1) + ":" if column in numbers else "-" * width
        for column, width in enumerate(widths)
    ]
    return "\n".join([line(HEADINGS), line(rule), *(line(cells(row)) for row in rows)])
