"""Pages: their code runs, their links resolve, and their table of actions is up to date.

Run as a program, it writes the table into the pages that have it.
"""

import re
from pathlib import Path

import pytest
from concordance_shared import ACTIONS, EVENTS, LEGAL_ACTIONS

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    *(ROOT / package / "README.md" for package in ("shared", "sdk", "inference")),
    *sorted((ROOT / "docs").glob("**/*.md")),
]
TABLE = re.compile(
    r"(<!-- events-and-actions:[^>]*-->\n).*?(<!-- /events-and-actions -->)", re.DOTALL
)
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)]*))?\)")
BLOCK = re.compile(r"(<!-- not run: [^>]+ -->\n)?```python\n(.*?)```", re.DOTALL)


def table():
    """The table of legal actions, in Markdown."""
    lines = [
        "| | " + " | ".join(f"`{event.__name__}`" for event in EVENTS) + " |",
        "|---" * (len(EVENTS) + 1) + "|",
    ]
    for action in ACTIONS:
        cells = ["yes" if action in LEGAL_ACTIONS[event] else "" for event in EVENTS]
        lines.append(f"| `{action.__name__}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def anchors(page):
    """The anchors of a page's headings, as MkDocs and GitHub make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", text).strip().lower().replace(" ", "-") for text in headings]


def with_table(text):
    return TABLE.sub(lambda found: found[1] + table() + found[2], text)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_code_of_a_page_runs(page):
    namespace = {"__name__": "page"}
    for not_run, code in BLOCK.findall(page.read_text("utf-8")):
        compiled = compile(code, f"{page.name}", "exec")
        if not not_run:
            exec(compiled, namespace)


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "events-and-actions.md"])
def test_table_of_a_page_equals_legal_actions(page):
    text = page.read_text("utf-8")

    assert TABLE.search(text)
    assert with_table(text) == text, "run `uv run python tests/test_docs.py`"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_of_a_page_resolve(page):
    for target, anchor in LINK.findall(page.read_text("utf-8")):
        if target.startswith("http"):
            continue
        linked = page.parent / target if target else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), f"{target}#{anchor}"


def test_every_page_is_in_the_navigation_of_the_site():
    menu = (ROOT / "mkdocs.yml").read_text("utf-8")
    for page in (ROOT / "docs").glob("**/*.md"):
        assert page.relative_to(ROOT / "docs").as_posix() in menu


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(with_table(page.read_text("utf-8")), encoding="utf-8")
