"""The log of a server, in which records that mods make name the mod and the request."""

import copy
import logging
import weakref

from concordance_sdk.host.mod_scope import ModScope, current_mod

from concordance_inference.mods.mod_output import MAX_CHARS, logger_of

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def set_up_log(*, is_verbose: bool) -> None:
    """Log to standard error.

    Args:
        is_verbose: True to log every request.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(ModFormatter(_FORMAT))
    handler.addFilter(ModFilter())
    logging.basicConfig(level=logging.INFO if is_verbose else logging.WARNING, handlers=[handler])
    logging.getLogger("concordance_inference.models.blas").setLevel(logging.INFO)
    logging.getLogger("concordance.mods").setLevel(logging.INFO)  # what mods print


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
        mod = getattr(record, "mod", None)
        if mod is not None:
            message = record.getMessage()
            record = copy.copy(record)
            record.name = logger_of(mod).name
            record.msg, record.args = f"{getattr(record, 'request_id', '')}: {message}", ()
        return super().format(record)


def _is_printed(record: logging.LogRecord) -> bool:
    """True for a line that a mod has printed: it is bounded and labelled already."""
    return record.name.startswith("concordance.mods.")
