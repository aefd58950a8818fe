"""Which port a server gets, and who holds one that is taken."""

import ipaddress
from pathlib import Path

LISTENING = "0A"


def is_loopback(host: str) -> bool:
    """True when only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def holder_of(port: int) -> str:
    """`process 812 (python)` for the process that listens on the port, as far as this one sees."""
    inodes = _listening_inodes(port)
    for pid in _pids():
        if inodes & _socket_inodes(pid):
            return f"process {pid} ({_name(pid)})"
    return "another process" if inodes else "an unknown process"


def _listening_inodes(port: int) -> set[str]:
    found: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            cells = line.split()
            if cells[3] == LISTENING and int(cells[1].rpartition(":")[2], 16) == port:
                found.add(cells[9])
    return found


def _pids() -> list[int]:
    try:
        return sorted(int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit())
    except OSError:
        return []


def _socket_inodes(pid: int) -> set[str]:
    inodes: set[str] = set()
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            target = str(entry.readlink())
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    except OSError:
        pass  # ended, or another user's
    return inodes


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except OSError:
        return "?"
