"""Phrases that this project does not use, in sources, pages and names of tests.

Each has a plain technical word that readers search for. The list is short on purpose: it names
what came back most often. STYLE is in CONTRIBUTING.md, the words are in docs/glossary.md.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(
    path
    for package in ("shared", "sdk", "inference")
    for path in (ROOT / package / "src").rglob("*.py")
)
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "*/README.md")
    for path in ROOT.glob(pattern)
)
TESTS = [*ROOT.glob("tests/**/test_*.py"), *ROOT.glob("examples/*/test_*.py")]
TEST_NAME = re.compile(r"^\s*(?:async )?def (test_\w+)", re.MULTILINE)

#: By a phrase: what to write instead. Names of tests are read with spaces for underscores.
BANNED = {
    r"\b(so|as) many (?=as\b)": "up to n",
    r"\bso many\b": "this many, up to n, a number",
    r"\bstands\b(?! for\b)": "is, is at, remains",
    r"\bstands? behind\b": "follows",
    r"\bbehind which\b": "after which",
    r"\btak(?:e|es|en|ing) (?:\w+ )?back\b|\btook back\b": "backtrack (tokens), rewind (caches)",
    r"\bgo(?:es|ing) back to\b": "backtrack to, rewind to",
    r"\bgo(?:es)? first\b": "is evicted first, acts first",
    r"\bnobody\b": "no one, no client, no other row",
    r"\bwhoever\b": "callers, a client that",
    r"\bcome what may\b": "always",
    r"\banew\b": "again",
    r"\bnought\b": "zero",
    r"\blikeliest\b": "top, most probable",
    r"\b(?:is|are|was|were|be|been) told\b": "is notified, receives, is reported",
    r"\b(?:is|are) asked about\b": "is called for, is queried",
    r"\bgo(?:es)? on\b(?!\.)": "continue, resume",
    r"\blet go\b": "evict, free",
    r"\blikelier\b": "more probable",
    r"\beverybody\b": "all clients, every row",
    r"\bstood\b": "was, remained",
    r"\bheat\b": "temperatures",
    r"\byouth\b": "age",
    r"\btrustful\b": "without backoff",
}
#: First words of a docstring that restate its name.
BANNED_STARTS = r'"""(?:Whether|How many|What it)\b'


def lines_with(pattern, paths):
    """`FILE:LINE: the line`, for each line that has the phrase, across a line's end too."""
    found = []
    for path in paths:
        text = path.read_text("utf-8")
        for match in re.finditer(pattern.replace(" ", r"\s+"), text, re.IGNORECASE):
            line = text.count("\n", 0, match.start())
            where = path.relative_to(ROOT).as_posix()
            found.append(f"{where}:{line + 1}: {text.splitlines()[line].strip()}")
    return found


def names_with(pattern):
    """`FILE:LINE: the name`, for each test whose name has the phrase."""
    found = []
    for path in TESTS:
        text = path.read_text("utf-8")
        for name in TEST_NAME.finditer(text):
            if re.search(pattern, name[1].replace("_", " "), re.IGNORECASE):
                line = text.count("\n", 0, name.start(1)) + 1
                found.append(f"{path.relative_to(ROOT).as_posix()}:{line}: {name[1]}")
    return found


def report(found, pattern, instead):
    return f"/{pattern}/: write {instead}\n" + "\n".join(found)


@pytest.mark.parametrize("pattern", BANNED)
def test_banned_phrase_is_in_no_source_page_or_test_name(pattern):
    found = [*lines_with(pattern, [*SOURCES, *PAGES]), *names_with(pattern)]

    assert not found, report(found, pattern, BANNED[pattern])


def test_no_docstring_starts_by_restating_a_name():
    found = lines_with(BANNED_STARTS, SOURCES)

    assert not found, report(found, BANNED_STARTS, "`True if ...`, a noun phrase, or nothing")


def test_phrase_over_two_lines_is_found_with_its_first_line(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "page.md").write_text("one\nso\nmany tokens\n")

    assert lines_with(r"\bso many\b", [tmp_path / "page.md"]) == ["page.md:2: so"]
