"""Logs: one JSON object per line on stderr (or coloured lines for a person's console).

What may be logged: ids, counts, instants, reasons. Never a payload, a name, an address or a
card: those stay in Kafka and Redis. Two things help to keep it that way: tracebacks come without
local variables, and every value has a limit.
"""

import logging
import sys

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from shared.settings import Settings

MAX_VALUE_CHARS = 4_000
"""A traceback of some forty frames fits; a payload that slipped in does not fill the disk."""

_LIBRARIES = ("aiokafka", "asyncio", "faststream", "uvicorn", "uvicorn.access", "uvicorn.error")
"""Loggers that bring their own handlers or are talkative below WARNING."""


def configure(service: str, settings: Settings) -> None:
    """Send all logs of this process, of libraries too, through one format to stderr.

    Call once, after FastStream is imported (its import sets up a handler of its own).
    Everywhere else: `log = structlog.get_logger()`, then `log.info("what happened", order=...)`.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _ServiceName(service),
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _bounded,
            _renderer(settings),
        ],
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    for name in _LIBRARIES:
        library = logging.getLogger(name)
        library.handlers = []
        library.propagate = True
        library.setLevel(logging.WARNING)


class _ServiceName:
    """Adds `service` to every line: in one stream of several services it tells them apart."""

    def __init__(self, service: str) -> None:
        self._service = service

    def __call__(self, _: WrappedLogger, __: str, line: EventDict) -> EventDict:
        line["service"] = self._service
        return line


def _bounded(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    """Cut the middle out of long texts: the ends of a traceback are what is read."""
    half = MAX_VALUE_CHARS // 2
    for name, value in line.items():
        text = value if isinstance(value, str) else repr(value)
        if len(text) > MAX_VALUE_CHARS:
            line[name] = f"{text[:half]} … {text[-half:]}"
    return line


def _renderer(settings: Settings) -> Processor:
    if settings.log_format == "console":
        return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    return structlog.processors.JSONRenderer(ensure_ascii=False)
