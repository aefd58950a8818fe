"""Named points at which a crash test kills the process. Nothing happens unless one is armed."""

import os
import signal

NAMES = (
    "before_begin",
    "after_begin",
    "mid_batch",
    "before_commit",
    "after_commit_before_reply",
    "before_notify",
    "projection_before_rename",
    "projection_after_rename",
    "jsonl_mid_line",
)


class Failpoint:
    """Kills the process with SIGKILL at the n-th time that a named point is passed."""

    def __init__(self, setting: str) -> None:
        self._name, _, times = setting.partition(":")
        self._left = int(times or 1)
        if self._name and self._name not in NAMES:
            raise ValueError(f"no failpoint of that name; there are {', '.join(NAMES)}")

    def __call__(self, name: str) -> None:
        if name == self._name:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
