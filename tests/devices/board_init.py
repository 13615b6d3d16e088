"""The first process of a board: it collects orphans, and ends the board when its standard input ends."""

import os
import signal
import sys


def reap(*_: object) -> None:
    """Collects every process that has ended and has no parent of its own."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        pass


if __name__ == "__main__":
    # whoever logs in starts where this process is
    os.chroot(sys.argv[1])
    os.chdir("/home/pi")
    signal.signal(signal.SIGCHLD, reap)
    print("ready", flush=True)
    while os.read(0, 1):
        pass
