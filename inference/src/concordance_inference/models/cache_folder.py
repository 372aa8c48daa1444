"""Where converted models are kept between runs."""

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """Concordance's cache folder: `$CONCORDANCE_CACHE`, or the platform's usual place."""
    if chosen := os.environ.get("CONCORDANCE_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path("~/Library/Caches/concordance").expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "concordance"
