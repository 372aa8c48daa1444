"""Loading mods from files, folders, packages and uploads."""

import sys

import msgspec
import pytest
from concordance_inference.mods.loading import (
    MAX_SOURCE_LENGTH,
    load_entry_points,
    load_path,
    load_payload,
)
from concordance_sdk import ModPayload, registry
from concordance_sdk.testing import play
from concordance_shared import InvalidRequestError, ModLoadError

GREET = """
from concordance_sdk import mod

@mod
def greet(event, actions):
    '''Hello.'''
"""


def payload(**fields):
    return ModPayload(**{"name": "greet", "entrypoint": "greet", "source": GREET, **fields})


def test_the_mods_of_a_file_are_loaded(tmp_path):
    (tmp_path / "a.py").write_text(GREET)

    definitions, version = load_path(tmp_path / "a.py")

    assert [d.name for d in definitions] == ["greet"]
    assert f"{tmp_path}/a.py:4" in definitions[0].where
    assert len(version) == 12


def test_a_folder_is_loaded_with_packages_and_without_tests(tmp_path):
    (tmp_path / "a.py").write_text(GREET)
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("from pack import inner")
    (tmp_path / "pack" / "inner.py").write_text(GREET.replace("greet", "part"))
    (tmp_path / "test_a.py").write_text("raise RuntimeError")

    definitions, _ = load_path(tmp_path)

    assert sorted(d.name for d in definitions) == ["greet", "part"]


def test_loaded_mods_are_not_added_to_the_global_registry(tmp_path):
    (tmp_path / "a.py").write_text(GREET.replace("greet", "only_here"))
    load_path(tmp_path / "a.py")

    assert registry.get("only_here") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def (", ["invalid syntax", "a.py", "line 1"]),
        ("1 / 0", ["ZeroDivisionError", "a.py", "line 1"]),
        ("import sys; sys.exit(3)", ["SystemExit"]),
        ("x = 1", ["defines no mod"]),
        ("from concordance_sdk import mod\n@mod\ndef f(event): ...", ["(event, actions)", "'f'"]),
        ("import nowhere", ["ModuleNotFoundError", "nowhere", "a.py, line 1"]),
    ],
)
def test_the_error_for_a_file_that_cannot_be_loaded_has_cause_and_location(tmp_path, text, words):
    (tmp_path / "a.py").write_text(text)

    with pytest.raises(ModLoadError) as caught:
        load_path(tmp_path / "a.py")

    for word in words:
        assert word in caught.value.message


def test_a_missing_path_of_mods_is_an_error(tmp_path):
    with pytest.raises(ModLoadError, match="no file or folder"):
        load_path(tmp_path / "nowhere")


def test_the_builtin_mods_are_entry_points():
    assert {d.name for d in load_entry_points()} >= {"greeting", "replace", "avoid", "json_schema"}


def test_an_upload_of_one_module_is_loaded():
    definition, version = load_payload(payload(name="hello"))

    assert (definition.name, definition.doc) == ("hello", "Hello.")
    assert version


def test_an_upload_of_several_files_is_loaded():
    files = {"pack/a.py": f"from pack.words import W\n{GREET}", "pack/words.py": "W = 1"}

    definition, _ = load_payload(payload(source=None, files=files, module="pack.a"))

    assert definition.name == "greet"


def test_a_function_without_the_decorator_can_be_uploaded():
    source = "def plain(event, actions): ..."

    assert load_payload(payload(source=source, entrypoint="plain"))[0].name == "greet"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"name": "No Good"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"language": "lua"}, "language"),
        ({"module": "no-module"}, "module"),
        ({"source": None}, "source"),
        ({"files": {}}, "source"),
        ({"source": None, "files": {"../a.py": ""}}, "files"),
        ({"source": None, "files": {"/a.py": ""}}, "files"),
        ({"source": None, "files": {"a.txt": ""}}, "files"),
        ({"source": "#" * (MAX_SOURCE_LENGTH + 1)}, "source"),
        ({"entrypoint": "nowhere"}, "entrypoint"),
    ],
)
def test_the_error_for_a_malformed_upload_names_the_field(fields, param):
    with pytest.raises(InvalidRequestError) as caught:
        load_payload(payload(**fields))

    assert caught.value.param == param


@pytest.mark.parametrize(
    "source", ["1 / 0", "def (", "import sys; sys.exit()", "greet = 3", "\0", "(" * 100_000]
)
def test_an_upload_that_raises_while_loading_is_rejected(source):
    with pytest.raises(ModLoadError, match="'greet'"):
        load_payload(payload(source=source))


# Payloads of clients of `quote_mod_sdk`


OLDER = """
from quote_mod_sdk import Prefilled, mod
{imports}

@mod
def Greet(event, actions, tokenizer):
    if isinstance(event, Prefilled):
        return actions.force_output(tokenizer.encode({word}))
"""


def said(**fields):
    source = OLDER.format(imports="", word="'hey'")
    given = {"name": "greet", "entrypoint": "Greet", "source": source, **fields}
    body = msgspec.json.encode(given)
    return play(load_payload(msgspec.json.decode(body, type=ModPayload))[0], says="").text


@pytest.mark.parametrize(
    "fields",
    [
        {"module": None},
        {"module": "__main__"},
        {"language": "Python"},
        {"language": "PYTHON"},
        {"name": "Greet"},
        {"name": "v1.2-Greet_er"},
        {"name": "_greet"},
        {"description": "Says hey.", "user_api_key": "secret"},
        {"source": "    " + OLDER.format(imports="", word="'hey'").replace("\n", "\n    ")},
    ],
)
def test_payloads_of_older_clients_are_accepted(fields):
    assert said(**fields) == "hey"


@pytest.mark.parametrize("param", ["source", "files"])
@pytest.mark.parametrize(
    ("paths", "module", "importing"),
    [
        (("pkg/mod.py", "pkg/words.py"), "pkg.mod", "from .words import W"),
        (("pkg/mod.py", "pkg/words.py"), "pkg.mod", "from pkg.words import W"),
        (("a/b/c/mod.py", "a/b/words.py"), "a.b.c.mod", "from a.b.words import W"),
        (("a/b/c/mod.py", "a/b/words.py"), "a.b.c.mod", "from ..words import W"),
        (("a/b/c/mod.py", "a/x/y/words.py"), "a.b.c.mod", "from a.x.y.words import W"),
        (("a/b/c/mod.py", "a/x/y/words.py"), "a.b.c.mod", "import a.x.y.words as w; W = w.W"),
        (("a/b/c/mod.py", "a/x/y/words.py"), "a.b.c.mod", "import a.x.y.words; W = a.x.y.words.W"),
        (("mod.py", "words.py"), "mod", "from words import W"),
        (("./pkg/mod.py", "pkg\\words.py"), "pkg.mod", "from .words import W"),
        (("pkg/__init__.py", "pkg/words.py"), "pkg", "from .words import W"),
        (("pkg/mod.py", "pkg/words/__init__.py"), "pkg.mod", "from .words import W"),
    ],
)
def test_multi_file_payloads_of_older_clients_are_accepted(param, paths, module, importing):
    files = {paths[0]: OLDER.format(imports=importing, word="W"), paths[1]: "W = 'words'"}

    assert said(module=module, **{"source": None, param: files}) == "words"


def test_the_module_of_a_single_file_is_optional():
    files = {"pkg/mod.py": OLDER.format(imports="", word="'hey'")}

    assert said(module=None, source=files) == "hey"
    assert said(source=files) == "hey"


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"source": {"a.py": "", "b.py": ""}}, "module", "a, b"),
        ({"source": None, "files": ["/srv/mods/a.py"]}, "files", "--mods"),
        ({"source": None, "dir": "/srv/mods"}, "dir", "--mods"),
        ({"source": {}}, "source", "no file"),
        ({"source": {"../a.py": ""}}, "source", "relative"),
        ({"source": {"c:/a.py": ""}}, "source", "relative"),
        ({"source": {"a/../../b.py": ""}}, "source", "relative"),
        ({"name": ".."}, "name", "letters"),
        ({"name": ""}, "name", "letters"),
        ({"name": "a+b"}, "name", "letters"),
        ({"entrypoint": "a.b"}, "entrypoint", "function"),
        ({"language": "rust"}, "language", "python"),
    ],
)
def test_unsupported_payloads_are_rejected_by_field(fields, param, words):
    with pytest.raises(InvalidRequestError, match=words) as caught:
        said(**fields)

    assert caught.value.param == param


# Folders


HEY = OLDER.format(imports="{imports}", word="{word}").replace("Greet", "hey")


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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("from .state import S", ["load the folder", "mod.py, line 1"]),
        ("from state import S", ["state is in the file's folder", "load the folder", "line 1"]),
        ("import state.deep", ["state is in the file's folder"]),
        ("import not_installed_at_all", ["install 'not_installed_at_all'", "line 1"]),
        ("from quote_mod_sdk import mod\nimport quote_mod_sdk.nowhere", ["line 2", "nowhere"]),
        ("import json.nowhere", ["json.nowhere"]),
    ],
)
def test_the_error_for_a_failed_import_suggests_a_fix(tmp_path, text, words):
    write(tmp_path, mod=text, state="S = 1")
    with pytest.raises(ModLoadError) as caught:
        load_path(tmp_path / "mod.py")

    for word in words:
        assert word in caught.value.message
    assert "@" not in caught.value.message


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="this Python reads it")
@pytest.mark.parametrize(
    ("line", "needs"),
    [
        ("x = f\"{d[\"a\"]}\"", "3.12"),
        ("type X = int", "3.12"),
        ("def f[T](x: T): ...", "3.12"),
        ("class A[T]: ...", "3.12"),
    ],
)  # fmt: skip
def test_the_error_for_newer_syntax_names_the_python_version(tmp_path, line, needs):
    (tmp_path / "a.py").write_text(f"d = {{'a': 1}}\n{line}\n")

    with pytest.raises(ModLoadError, match=rf"a\.py, line 2\).* need Python {needs}"):
        load_path(tmp_path / "a.py")
