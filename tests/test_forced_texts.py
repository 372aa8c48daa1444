"""Texts that the template, the pages and the examples force end in no lone space.

After a token that is only a space, a model continues with what follows it in its training data:
digits and line breaks. Tests by bytes cannot show that, so the embedded model's own vocabulary
is used.
"""

import ast
import re
from doctest import DocTestParser
from pathlib import Path

import pytest
from concordance_inference.cli import mods
from concordance_sdk.testing import FolderTokenizer

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("*/README.md")), *sorted(ROOT.glob("docs/**/*.md"))]
EXAMPLES = sorted(ROOT.glob("examples/**/*.py"))
SOURCES = sorted(ROOT.glob("sdk/src/**/*.py"))

#: Functions whose first argument is forced, or the tokens of which are.
CALLS = {"encode", "force"}

#: Arguments that are forced, and after which the model continues freely.
ARGUMENTS = {"text", "replacement", "suffix"}


def forced_texts(code):
    """String literals that are encoded, and those of arguments whose text is forced."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.AnnAssign):  # the default of a parameter
            values = [node.value]
        elif isinstance(node, ast.Dict):
            values = [v for k, v in zip(node.keys, node.values, strict=True) if _is_forced(k)]
        elif isinstance(node, ast.Call):
            values = [*node.args[:1]] if _called(node) in CALLS else []
            values += [keyword.value for keyword in node.keywords if keyword.arg in ARGUMENTS]
        else:
            continue
        for value in values:
            last = value.values[-1] if isinstance(value, ast.JoinedStr) else value
            if isinstance(last, ast.Constant) and isinstance(last.value, str):
                yield last.value


def _called(node):
    return ast.unparse(node.func).rpartition(".")[2]


def _is_forced(key):
    return isinstance(key, ast.Constant) and key.value in ARGUMENTS


def docstring_code(text):
    """The examples in docstrings of a module."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            examples = DocTestParser().get_examples(ast.get_docstring(node) or "")
            yield "\n".join(example.source for example in examples)


def sources():
    """(where, code) of everything that a reader copies."""
    for page in PAGES:
        if page.parent.name == "reference":  # written from the docstrings below
            continue
        for code in BLOCK.findall(page.read_text("utf-8")):
            yield page.relative_to(ROOT).as_posix(), code
    for path in EXAMPLES:
        yield path.relative_to(ROOT).as_posix(), path.read_text("utf-8")
    for path in SOURCES:
        for code in docstring_code(path.read_text("utf-8")):
            yield path.relative_to(ROOT).as_posix(), code
    fields = {"name": "my_mod", "class_name": "MyMod", "title": "My mod", "target": "MyMod"}
    for template in (mods._CLASS, mods._FUNCTION, mods._SCRIPT):
        yield "the template", template.format(**fields)


def test_forced_texts_are_found():
    calls = 'f(encode("a "), use(X, text=f"{b} c "), {"text": "d "}, text=e, prompt="no ")'
    code = f'{calls}\nx: str = "g "'

    assert sorted(forced_texts(code)) == [" c ", "a ", "d ", "g "]


@pytest.mark.model
def test_forced_texts_end_in_no_lone_space_on_the_embedded_vocabulary():
    tokenizer = FolderTokenizer()
    texts = [(where, text) for where, code in sources() for text in forced_texts(code)]
    found = [
        f"{where}: {text!r}"
        for where, text in texts
        if text and tokenizer.decode(tokenizer.encode(text)[-1:]) == " "
    ]

    assert len(texts) > 25
    assert not found, "\n".join(found)
