"""What the exit code of a command says; `orderflow --help` lists them, and 4, which only a service
that runs ends with (shared/worker.py).
"""

EXIT_FAILED = 1
"""Something failed while running: Kafka or Redis is away, a process died, books do not balance."""

EXIT_USAGE = 2
"""A wrong command, option, argument or field; each is named. (What typer ends with, too.)"""

EXIT_REFUSED = 3
"""Refused to start: a wrong setting, a missing topic, no Redis; the message says what to do."""
