"""A process that is the writer of a SQLite store and stays it: `python -m … <lock file>`."""

import fcntl
import os
import sys

if __name__ == "__main__":
    lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.pwrite(lock, b"%-20d" % os.getpid(), 0)
    print("held", flush=True)
    sys.stdin.read()
