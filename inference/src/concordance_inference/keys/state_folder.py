"""The folder of files that a server keeps between runs and cannot make again."""

import os
import sys
from pathlib import Path


def state_folder() -> Path:
    """Return the folder: `$CONCORDANCE_STATE`, or the platform's usual place.

    Raises:
        RuntimeError: There is no home folder.
    """
    if chosen := os.environ.get("CONCORDANCE_STATE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path("~/Library/Application Support/concordance").expanduser()
    return Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "concordance"


def usual_key_file() -> Path:
    """Return the file of keys that is used if none is named."""
    return state_folder() / "keys.json"
