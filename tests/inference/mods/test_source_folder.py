"""The package structure of a folder of mods."""

import pytest
from concordance_inference.mods.loading import load_path
from concordance_sdk.testing import play

HEY = """
from quote_mod_sdk import Prefilled, mod
{imports}

@mod
def hey(event, actions, tokenizer):
    if isinstance(event, Prefilled):
        return actions.force_output(tokenizer.encode({word}))
"""


def write(folder, **files):
    for path, text in files.items():
        target = folder / (path.replace("__", "/") + ".py")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("given", "importing"),
    [
        ("examples/air", "from .words import W"),
        ("examples/air", "from examples.air.words import W"),
        ("examples/air", "from air.words import W"),
        ("examples/air", "from words import W"),
        ("examples/air", "from .words import W as A\nfrom examples.air.words import W"),
        ("examples", "from .words import W"),
        ("examples", "from examples.air.words import W"),
        ("examples", "from air.words import W"),
        (".", "from examples.air.words import W"),
        (".", "from .words import W"),
    ],
)
def test_a_folders_package_structure_follows_from_its_imports(tmp_path, given, importing):
    write(
        tmp_path,
        examples__air__mod=HEY.format(imports=importing, word="W"),
        examples__air__words="W = 'words'",
    )
    definitions, _ = load_path(tmp_path / given)

    assert [d.name for d in definitions] == ["hey"]
    assert definitions[0].where.startswith(str(tmp_path / "examples" / "air" / "mod.py"))
    assert play(definitions[0], says="").text == "words"


def test_relative_and_absolute_imports_give_the_same_module(tmp_path):
    write(
        tmp_path,
        pack__mod=HEY.format(
            imports="from .state import S as A\nfrom pack.state import S as B\n"
            "from state import S as C\nassert A is B is C",
            word="'one'",
        ),
        pack__state="class S: ...",
    )
    definitions, _ = load_path(tmp_path / "pack")

    assert play(definitions[0], says="").text == "one"


def test_nested_folders_without_a_mod_module_are_loaded(tmp_path):
    write(tmp_path, a__b__greets=HEY.format(imports="", word="'deep'"))
    definitions, _ = load_path(tmp_path)

    assert play(definitions[0], says="").text == "deep"
