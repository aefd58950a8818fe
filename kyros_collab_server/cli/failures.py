"""How a command ends when it does not succeed: one exit code, a cause, a fix."""

import json
import os
import sys
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from kyros_collab_server.kernel.errors import Kind, KyrosError


class Exit(IntEnum):
    """The exit codes; scripts rely on them."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    NOT_FOUND = 3
    AUTHENTICATION = 4
    CONFLICT = 5
    LEASE = 6
    UNREACHABLE = 7
    LIMITED = 8
    INVALID = 9
    TIMED_OUT = 124
    INTERRUPTED = 130


class Failure(Exception):
    """A command could not do what it was asked; carries what the person will read.

    `facts` are those of the server's problem, for commands that explain more.
    """

    def __init__(
        self,
        exit_code: int,
        code: str,
        message: str,
        hint: str = "",
        *,
        request_id: str = "",
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.code = code
        self.message = message
        self.hint = hint
        self.request_id = request_id
        self.facts = dict(facts or {})


_BY_CODE = {
    "lease_held": Exit.LEASE,
    "lease_lost": Exit.LEASE,
    "write_fenced": Exit.LEASE,
    "not_available": Exit.USAGE,
}
_BY_KIND = {
    Kind.UNAUTHENTICATED: Exit.AUTHENTICATION,
    Kind.FORBIDDEN: Exit.AUTHENTICATION,
    Kind.NOT_FOUND: Exit.NOT_FOUND,
    Kind.CONFLICT: Exit.CONFLICT,
    Kind.PRECONDITION_FAILED: Exit.CONFLICT,
    Kind.PRECONDITION_REQUIRED: Exit.CONFLICT,
    Kind.INVALID: Exit.INVALID,
    Kind.RATE_LIMITED: Exit.LIMITED,
    Kind.UNAVAILABLE: Exit.UNREACHABLE,
}
_BY_STATUS = {
    401: Kind.UNAUTHENTICATED,
    403: Kind.FORBIDDEN,
    404: Kind.NOT_FOUND,
    409: Kind.CONFLICT,
    412: Kind.PRECONDITION_FAILED,
    413: Kind.INVALID,
    422: Kind.INVALID,
    428: Kind.PRECONDITION_REQUIRED,
    429: Kind.RATE_LIMITED,
}
_MEMBERS = {"type", "title", "status", "code", "detail", "request_id", "fix", "retryable"}


def refused(error: KyrosError, request_id: str = "") -> Failure:
    """The failure that a refusal of the local store amounts to."""
    exit_code = _BY_CODE.get(error.code, _BY_KIND[error.kind])
    return Failure(
        exit_code, error.code, error.detail, error.fix, request_id=request_id, facts=error.facts
    )


def refused_by_server(status: int, problem: Mapping[str, Any]) -> Failure:
    """The failure that a server's problem object amounts to."""
    code = str(problem.get("code") or f"http_{status}")
    if kind := _BY_STATUS.get(status):
        exit_code = _BY_KIND[kind]
    else:
        exit_code = Exit.UNREACHABLE if status in (502, 503, 504, 507) else Exit.UNEXPECTED
    message = problem.get("detail") or problem.get("title") or f"The server answered {status}."
    return Failure(
        _BY_CODE.get(code, exit_code),
        code,
        str(message),
        str(problem.get("fix") or ""),
        request_id=str(problem.get("request_id") or ""),
        facts={key: value for key, value in problem.items() if key not in _MEMBERS},
    )


def usage(message: str, hint: str = "") -> Failure:
    """The command line itself is wrong."""
    return Failure(Exit.USAGE, "usage", message, hint)


def not_yet(what: str, hint: str = "") -> Failure:
    """The command is named in the specification and arrives with a later version."""
    return Failure(
        Exit.USAGE, "not_available", f"{what} is not available yet in this version.", hint
    )


def report(failure: Failure, *, as_json: bool) -> int:
    """Tell the person on stderr, or the script on stdout, and return the exit code."""
    if as_json:
        error = {
            "code": failure.code,
            "message": failure.message,
            "hint": failure.hint,
            "request_id": failure.request_id,
        }
        try:
            print(json.dumps({"error": error}, ensure_ascii=False), flush=True)
        except BrokenPipeError:
            leave_closed_pipe()
    elif failure.exit_code != Exit.INTERRUPTED:
        name = "" if failure.code == "usage" else f"{failure.code}: "
        print(f"error: {name}{failure.message}", file=sys.stderr)
        if failure.hint:
            print(f"fix: {failure.hint}", file=sys.stderr)
    return int(failure.exit_code)


def leave_closed_pipe() -> None:
    """Nothing more is written to a pipe whose reader is gone, nor said about it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
