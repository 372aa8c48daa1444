"""The Python blocks of pages, as programs."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"

PAGES = [
    ROOT / "README.md",
    *(ROOT / package / "README.md" for package in ("shared", "sdk", "inference")),
    *sorted((ROOT / "docs").glob("**/*.md")),
]

#: Pages whose Python blocks are programs; the reference has signatures.
WITH_CODE = [page for page in PAGES if page.parent != REFERENCE]

_BLOCK = re.compile(r"(<!-- not run: [^>]+ -->\n)?```python\n(.*?)```", re.DOTALL)


def run(page: Path) -> None:
    """Run the blocks of a page in order, in one namespace; only compile those marked `not run`."""
    namespace: dict[str, object] = {"__name__": "page"}
    for not_run, code in _BLOCK.findall(page.read_text("utf-8")):
        compiled = compile(code, f"{page.name}", "exec")
        if not not_run:
            exec(compiled, namespace)
