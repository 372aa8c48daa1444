"""How often Python searches garbage while a command starts.

Imports create hundreds of thousands of objects that stay; a search among them finds nothing, and
takes a twelfth of the time to the first token.
"""

import gc

_USUAL = gc.get_threshold()
_RARELY = (100_000, 50, 50)


def collect_rarely() -> None:
    """Search rarely from now on."""
    gc.set_threshold(*_RARELY)


def collect_as_usual() -> None:
    """Search as often as Python does by itself."""
    gc.set_threshold(*_USUAL)
