"""Location of the cache on disk: converted models and model profiles."""

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """Return the cache folder: `$CONCORDANCE_CACHE`, or the platform's default location."""
    if chosen := os.environ.get("CONCORDANCE_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path("~/Library/Caches/concordance").expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "concordance"
