"""Pages: their code runs, their links resolve, and what is written from the sources is up to date.

Run as a program, it writes those parts.
"""

import re

import msgspec
import pytest
from concordance_shared import ModError
from pages import MARKED, SECTIONS, docstrings, updated
from pages.builtin_mods import definitions, documented_type
from pages.programs import PAGES, REFERENCE, ROOT, WITH_CODE, run
from pages.reference import written

#: What to do about a section or a page that is out of date.
WRITE = "run `uv run python tests/test_docs.py`"
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)]*))?\)")


def anchors(page):
    """The anchors of a page's headings, as MkDocs and GitHub make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", text).strip().lower().replace(" ", "-") for text in headings]


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda p: str(p.relative_to(ROOT)))
def test_code_of_a_page_runs(page):
    run(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_sections_written_from_the_sources_are_up_to_date(page):
    text = page.read_text("utf-8")

    assert updated(text) == text, WRITE


@pytest.mark.parametrize("definition", definitions(), ids=lambda d: d.name)
def test_docstring_of_a_builtin_mod_has_the_type_bounds_and_default_of_each_parameter(definition):
    items = docstrings.items(docstrings.parse(definition.doc).sections["Attributes"])

    assert {item.name: item.type for item in items} == {
        field.name: documented_type(field)
        for field in msgspec.structs.fields(definition.parameters)
    }


def test_page_on_debugging_has_every_error_code_of_a_mod():
    def codes(cls):
        return {cls.code}.union(*(codes(sub) for sub in cls.__subclasses__()))

    page = (ROOT / "docs" / "debugging.md").read_text("utf-8")

    assert {code for code in codes(ModError) if f"| `{code}` |" not in page} == set()


@pytest.mark.parametrize(("file", "text"), written().items(), ids=written())
def test_page_of_the_reference_is_up_to_date(file, text):
    assert (REFERENCE / file).read_text("utf-8") == text, WRITE


def test_reference_has_no_other_page():
    assert sorted(path.name for path in REFERENCE.iterdir()) == sorted(written())


def test_every_section_is_in_a_page():
    found = {name[1] for page in PAGES for name in MARKED.findall(page.read_text("utf-8"))}

    assert found == SECTIONS.keys()


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
    REFERENCE.mkdir(exist_ok=True)
    for file, text in written().items():
        (REFERENCE / file).write_text(text, encoding="utf-8")
    for page in PAGES:
        page.write_text(updated(page.read_text("utf-8")), encoding="utf-8")
