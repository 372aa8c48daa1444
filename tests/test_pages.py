"""The generators of sections and pages."""

from pathlib import Path

import pytest
from concordance_sdk.builtin.parameters import Count, Phrases, Text
from pages import docstrings
from pages.builtin_mods import type_of
from pages.reference import written
from pages.ten_tasks import FOLDER, TASKS, num_lines, ten_tasks

DOC = """First
line.

More.

Args:
    name: Text over
        two lines.
    count (int, at least 1): A number.

Examples:
    >>> 1 + 1
    2
"""


def test_lines_of_an_example_count_no_blank_line_comment_or_docstring(tmp_path):
    path = tmp_path / "mod.py"
    mod = '"""Doc.\n\nMore."""\n\n# why\n\ndef f():\n    """Doc."""\n    return """\nx"""\n'
    path.write_text(f'{mod}\nif __name__ == "__main__":\n    print(f())\n')

    assert num_lines(path) == 3


def test_comparison_has_a_row_for_each_of_the_ten_tasks():
    assert len(TASKS) == 10
    assert len(ten_tasks().splitlines()) == 12


def test_every_example_of_the_ten_tasks_is_in_the_comparison():
    files = {path.stem for path in FOLDER.glob("*.py") if not path.name.startswith("test_")}

    assert files == {task.file for task in TASKS}


@pytest.mark.parametrize(("name", "most"), [("self_check", 12), ("router", 8)])
def test_scripts_of_several_steps_are_short(name, most):
    assert 0 < num_lines(FOLDER / f"{name}.py") <= most


def test_lines_of_a_missing_example_are_zero():
    assert num_lines(Path("missing.py")) == 0


def test_docstring_is_split_into_summary_prose_and_sections():
    parsed = docstrings.parse(DOC)

    assert parsed.summary == "First line."
    assert docstrings.items(parsed.sections["Args"]) == [
        ("name", "", "Text over two lines."),
        ("count", "int, at least 1", "A number."),
    ]


def test_docstring_is_written_as_markdown_with_lists_and_blocks():
    written = docstrings.markdown(DOC)

    assert "- `name`: Text over two lines.\n- `count` (int, at least 1): A number." in written
    assert written.endswith("```pycon\n>>> 1 + 1\n2\n```")


def test_type_of_a_parameter_is_written_with_its_bounds():
    assert type_of(Count) == "int, at least 1"
    assert type_of(Text) == "str, at most 8192 characters"
    assert type_of(Phrases) == "list of 1 to 256 str, each 1 to 512 characters"


def test_a_class_of_the_reference_has_its_constructor_and_its_methods():
    page = written()["self-prompt.md"]

    assert "class SelfPrompt(\n    *,\n    prompt: Prompt | None = None,\n" in page
    assert "- `start(tokenizer: Tokenizer) -> SelfPromptRun`: Start a run by hand" in page


def test_a_struct_of_the_reference_has_its_fields_inherited_ones_first():
    assert (
        "class Sampled(TokenEvent):\n    request_id: str\n    step: int\n"
        "    known_place: ChannelPlace | UnsetType = ...\n    sampled_token: int\n"
        in written()["events.md"]
    )


def test_a_constant_of_the_reference_has_its_source():
    assert "MAX_REPORTS = 10_000\n" in written()["actions.md"]
