"""`check_tree` finds conflict markers and missing paths, and the repository has none."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def _loaded(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check_tree = _loaded(ROOT / ".ci" / "check_tree.py")


def faults(tmp_path, text, name="page.md"):
    (tmp_path / "engine").mkdir(exist_ok=True)
    (tmp_path / "engine" / "row.py").write_text("")
    (tmp_path / name).write_text(text)
    return check_tree.faults(tmp_path, ["engine/row.py", name])


def test_repository_has_no_fault():
    assert check_tree.faults(ROOT, check_tree.tracked_files(ROOT)) == []


@pytest.mark.parametrize("name", ["page.md", "module.py", "data.json"])
def test_merge_conflict_markers_are_found_in_any_file(tmp_path, name):
    text = "a\n" + "<" * 7 + " HEAD\nb\n" + "=" * 7 + "\nc\n" + ">" * 7 + " main\n"

    assert [fault.split(":")[:2] for fault in faults(tmp_path, text, name)] == [
        [name, "2"],
        [name, "4"],
        [name, "6"],
    ]


def test_underline_of_a_title_is_not_a_conflict_marker(tmp_path):
    assert faults(tmp_path, "A title\n=======\n") == []


@pytest.mark.parametrize(
    "path", ["engine/row.py", "row.py", "engine/", "eng*/row.py", ".../row.py"]
)
def test_existing_path_is_not_reported(tmp_path, path):
    assert faults(tmp_path, f"See `{path}`.\n") == []


@pytest.mark.parametrize("path", ["engine/batch.py", "ow.py", "caches/", "row.py/"])
def test_missing_path_is_reported_with_its_line(tmp_path, path):
    assert faults(tmp_path, f"First.\n\nSee `{path}`.\n") == [f"page.md:3: `{path}` does not exist"]


def test_path_that_a_code_block_mentions_is_not_reported(tmp_path):
    text = "Write `mine.py`:\n\n```sh\nconcordance serve --mods mine.py\n```\n"

    assert faults(tmp_path, text) == []
    assert faults(tmp_path, "Write `mine.py`.\n") != []
