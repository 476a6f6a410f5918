"""Become another program, one that the kernel kills when the parent process ends.

    python dies_with_parent.py PARENT_PID PROGRAM ARGUMENT...

Who is killed with SIGKILL can not stop its children any more: Kafka, Redis and the workers would
run on, hold their ports and eat up the machine. On Linux a process can ask for a signal at its
parent's death (prctl PR_SET_PDEATHSIG), and the wish outlives exec. It is made in this program of
its own because the other place for it, subprocess's preexec_fn, runs Python in a forked copy of a
parent with threads, which may deadlock. Elsewhere than on Linux children outlive a killed parent.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""


def main() -> None:
    """Ask for SIGKILL at the parent's death, then become the program."""
    parent_pid, *program = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent_pid):
        sys.exit("the parent ended before its child began")
    os.execvp(program[0], program)  # noqa: S606 a list of arguments, no shell


if __name__ == "__main__":
    main()
