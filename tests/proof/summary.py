"""What the proofs counted, said at the end of the run."""

from dataclasses import dataclass, field


@dataclass
class Summary:
    """Lines for the end of the run."""

    lines: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        self.lines.append(line)
