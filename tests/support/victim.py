"""A real service as a process that kills or stops itself at a named step of its tasks.

`python -m tests.support.victim SERVICE STEP NTH SIGNAL`.
"""

import sys
from functools import partial
from importlib import import_module
from signal import Signals

from shared import worker
from tests.support.toy_worker import At, quick_to_notice, step_of


def main(service: str, step: str, nth: str, signal: str) -> None:
    at = At(step, int(nth), Signals[signal])
    worker.work = partial(worker.work, step=step_of(at))
    quick_to_notice()
    import_module(f"services.{service}.app").main()


if __name__ == "__main__":
    main(*sys.argv[1:])
