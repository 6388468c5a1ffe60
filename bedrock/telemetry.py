"""Logging set up once a process: structlog and the standard library through one chain with one redaction point."""

import logging
import logging.config
import sys
from typing import Any

import structlog

from bedrock import redaction

_NOISY = ("celery.redirected", "urllib3", "asyncio", "faker", "kombu", "amqp")


def _redact(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """The redaction point: every record of the process passes here last, exception texts included."""
    told: dict[str, Any] = redaction.redact({name: value for name, value in event.items() if not name.startswith("_")})
    return told


def _format_arguments(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """`log.info("%s of %s", 1, 2)`; arguments that do not fit are told beside the text instead of raising."""
    arguments = event.pop("positional_args", ())
    if arguments:
        try:
            event["event"] = str(event["event"]) % (arguments[0] if isinstance(arguments[0], dict) else arguments)
        except (TypeError, ValueError, KeyError):
            event["arguments"] = list(arguments)
    return event


def _shared() -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _format_arguments,
        structlog.processors.StackInfoRenderer(),
        structlog.stdlib.ExtraAdder(),
    ]


def configure(*, level: str, form: str) -> None:
    """Send every log record to standard error: one JSON object a line, or a line of text for a person.

    Args:
        level: debug, info, warning, error or critical.
        form: json, console, or auto (console where standard error is a terminal).
    """
    shared = _shared()
    render: list[Any] = [structlog.processors.format_exc_info, _redact, structlog.processors.JSONRenderer()]
    terminal = sys.stderr.isatty()
    if form == "console" or (form == "auto" and terminal):
        render[-1] = structlog.dev.ConsoleRenderer(colors=terminal)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "one": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": shared,
                    "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "one"}},
            "root": {"handlers": ["stderr"], "level": level.upper()},
            "loggers": {name: {"level": "WARNING"} for name in _NOISY}
            | {"django.request": {"level": "ERROR"}},  # 4xx stand in the access line already
        }
    )
    logging.raiseExceptions = False  # a log line must never break a request
