"""The log of a server, in which records name the request that they belong to, and the mod."""

import copy
import logging
import weakref
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from concordance_sdk.host.mod_scope import ModScope, current_mod

from concordance_inference.keys.key import without_secrets
from concordance_inference.mods.mod_output import MAX_CHARS, logger_of

#: The logger of the bodies of requests.
BODIES = "concordance_inference.server.bodies"

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


Level = Literal["debug", "info", "warning", "error"]
Format = Literal["text", "json"]


def set_up_log(*, level: Level, form: Format = "text", has_prompts: bool = False) -> None:
    """Log to standard error. Keys that a client has put where none belong are not in it.

    Args:
        level: The least severe records that are logged; from `info` on, each request is.
        form: A line of text, or a line of JSON, for each record.
        has_prompts: True to log the bodies of requests, which nothing else logs.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else ModFormatter(_FORMAT))
    handler.addFilter(RequestFilter())
    handler.addFilter(ModFilter())
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.getLogger("concordance_inference.models.blas").setLevel(logging.INFO)
    logging.getLogger("concordance.mods").setLevel(logging.INFO)  # what mods print
    logging.getLogger("asyncio").setLevel(logging.INFO)
    logging.getLogger(BODIES).setLevel(logging.DEBUG if has_prompts else logging.CRITICAL)


class RequestFilter(logging.Filter):
    """Adds `request_id` to records of code that runs for an HTTP request."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Label a record."""
        from concordance_inference.server.transport.request_id import current_request_id

        if not hasattr(record, "request_id"):
            record.request_id = current_request_id()
        return True


class ModFilter(logging.Filter):
    """Adds `mod` and `request_id` to records that a mod makes, and bounds them per request."""

    def __init__(self) -> None:
        """Count from zero."""
        super().__init__()
        self._num_logged: weakref.WeakKeyDictionary[ModScope, int] = weakref.WeakKeyDictionary()

    def filter(self, record: logging.LogRecord) -> bool:
        """Label a record; False if its mod has logged too much for this request."""
        scope = current_mod()
        if scope is None or _is_printed(record):
            return True
        record.mod, record.request_id = scope.mod, scope.request_id
        num_before = self._num_logged.get(scope, 0)
        self._num_logged[scope] = num_before + len(record.getMessage())
        return num_before < MAX_CHARS


class ModFormatter(logging.Formatter):
    """Formats records of a mod like lines that it prints: by its logger, after the request id."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        mod, request_id = getattr(record, "mod", None), getattr(record, "request_id", None)
        message = record.getMessage()
        if mod is not None or (request_id and not message.startswith(request_id)):
            record = copy.copy(record)
            record.name = record.name if mod is None else logger_of(mod).name
            record.msg, record.args = f"{request_id or ''}: {message}", ()
        return without_secrets(super().format(record))


class JsonFormatter(logging.Formatter):
    """Formats records as lines of JSON, with the fields of a request's line beside the message."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        mod = getattr(record, "mod", None)
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name if mod is None else logger_of(mod).name,
            "message": record.getMessage(),
        }
        given = {"request_id": getattr(record, "request_id", None), "mod": mod}
        fields |= {name: value for name, value in given.items() if value}
        fields |= getattr(record, "fields", {})
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return without_secrets(msgspec.json.encode(fields, enc_hook=str).decode())


def _is_printed(record: logging.LogRecord) -> bool:
    """True for a line that a mod has printed: it is bounded and labelled already."""
    return record.name.startswith("concordance.mods.")
