"""Examples run, print what they should, pass the conformance check, and are short."""

import ast
import re
import runpy
from pathlib import Path

import pytest
from concordance_inference.mods.loading import load_path, load_payload
from concordance_sdk import serialize_mod
from concordance_sdk.registry import collecting
from concordance_sdk.testing import check_conformance

FOLDER = Path(__file__).parent.parent / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))
LARGER = sorted(path.parent for path in FOLDER.glob("*/README.md"))
#: Those of `ten_tasks` are uploaded in tests/e2e/test_ten_tasks.py.
OF_ONE_MOD = [path for path in LARGER if path.name != "ten_tasks"]

#: What each program prints.
OUTPUT = {
    "ab_steering.py": "A: 'tea' 22 times\nB: 'coffee' 18 times\n",
    "banned_words.py": "a truly useful tool\nbacktracked 8, to 8\n",
    "chain_of_thought.py": "Let us go step by step. 17 is 10 and 7. 30 and 21 are 51.\n"
    "I am a model.\n",
    "classifier.py": "bug\nquestion\n",
    "double_check.py": "without: It is 41.\nwith:    It is (wait, let me check that) 51.\n",
    "greeting.py": "Good morning! I am a model.\nAhoy! I am a model.\n",
    "form_filling.py": "A table for 4 on Friday.\n"
    "On which day will the 4 of you come?\n"
    "We have tables for eight at most.\n"
    "For how many guests may I book?\n",
    "json_output.py": '{"title": "Opticks", "year": 1704, "genre": "science"}\n'
    "1705\n"
    "42 of 55 tokens were forced\n",
    "phrase_replacement.py": "The capital is Lyon, and Parisians know it.\n"
    "6 tokens were backtracked, 5 forced\n",
    "profanity_guard.py": "Good day to you.\n"
    "I would rather not say that.\nI would rather not say that.\n",
    "tool_routing.py": 'weather {"city":"Paris"}\nHello!\n',
    "thinking_budget.py": "<think>Hm, 2 and 2. Let</think> me see, that would be... 4.\n"
    "<|channel|>analysis<|message|>Hm, 2 and 2. Let<|end|>"
    "<|start|>assistant<|channel|>final<|message|> me see, that would be... 4.\n",
}


@pytest.fixture(name="path", params=EXAMPLES, ids=lambda path: path.name)
def _path(request):
    return request.param


def test_example_prints_the_expected_text(path, capsys):
    with collecting():
        runpy.run_path(str(path), run_name="__main__")

    assert capsys.readouterr().out == OUTPUT[path.name]


@pytest.mark.slow
@pytest.mark.parametrize("path", [*EXAMPLES, *LARGER], ids=lambda path: path.name)
def test_mods_of_an_example_pass_the_conformance_check(path):
    definitions, _ = load_path(path)

    assert definitions
    for definition in definitions:
        report = check_conformance(definition)
        assert report.is_passed, str(report)
        assert "ends in a space" not in str(report)


def test_example_is_short_and_its_docstring_has_a_sentence_and_commands(path):
    text = path.read_text("utf-8")
    sentence, _, commands = (ast.get_docstring(ast.parse(text)) or "").partition("\n")

    assert len(text.splitlines()) <= 60
    assert re.fullmatch(r"[A-Z][^.]*\.", sentence)
    assert f"uv run python examples/{path.name}" in commands
    assert f"--mods examples/{path.name} " in commands
    named = re.findall(r"--mod (\w+)", commands)
    assert named == [definition.name for definition in load_path(path)[0]]


def test_example_is_in_the_index(path):
    assert f"[{path.name}]({path.name})" in (FOLDER / "README.md").read_text("utf-8")


# The larger examples. Their own tests are beside them and run with all others.


@pytest.mark.parametrize("folder", LARGER, ids=lambda path: path.name)
def test_readme_of_a_larger_example_has_commands_and_lists_its_files(folder):
    readme = (folder / "README.md").read_text("utf-8")
    files = [path for path in folder.rglob("*.py") if "__pycache__" not in path.parts]

    assert f"uv run concordance mods test examples/{folder.name}\n" in readme
    assert f"uv run concordance serve --mods examples/{folder.name}\n" in readme
    for name in [path.relative_to(folder).as_posix() for path in files]:
        assert f"[{name}]({name})" in readme
    assert f"[{folder.name}/]({folder.name}/)" in (FOLDER / "README.md").read_text("utf-8")


@pytest.mark.parametrize("folder", OF_ONE_MOD, ids=lambda path: path.name)
def test_larger_example_can_be_uploaded(folder):
    (definition,), _ = load_path(folder)
    payload = serialize_mod(definition.target, name="uploaded", folder=folder)

    assert load_payload(payload)[0].name == "uploaded"
