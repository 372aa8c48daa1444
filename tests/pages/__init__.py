"""The parts of the documentation that are written from the sources.

A section is the text between `<!-- NAME: written by ... -->` and `<!-- /NAME -->` in a page.
`tests/test_docs.py` checks that each is up to date and, run as a program, writes them.
"""

import re
from collections.abc import Callable

from pages.actions_table import actions_table
from pages.builtin_mods import builtin_mods
from pages.metrics_table import metrics_table
from pages.reference import reference_index
from pages.ten_tasks import ten_tasks

SECTIONS: dict[str, Callable[[], str]] = {
    "events-and-actions": actions_table,
    "builtin-mods": builtin_mods,
    "metrics": metrics_table,
    "reference": reference_index,
    "ten-tasks": ten_tasks,
}

MARKED = re.compile(
    r"(<!-- (?P<name>[\w-]+): written by[^>]*-->\n).*?(<!-- /(?P=name) -->)", re.DOTALL
)


def updated(text: str) -> str:
    """A page with its marked sections written again."""
    return MARKED.sub(lambda found: found[1] + SECTIONS[found["name"]]() + found[3], text)
