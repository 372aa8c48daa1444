"""Validation of upload payloads, in the current form and in those of older clients."""

import msgspec
import pytest
from concordance_inference.mods.loading import load_payload
from concordance_inference.mods.upload_payload import MAX_SOURCE_LENGTH
from concordance_sdk import ModPayload
from concordance_sdk.testing import play
from concordance_shared import InvalidRequestError, TooLargeError

GREET = """
from concordance_sdk import mod

@mod
def greet(event, actions):
    '''Hello.'''
"""


def payload(**fields):
    return ModPayload(**{"name": "greet", "entrypoint": "greet", "source": GREET, **fields})


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
        ({"entrypoint": "nowhere"}, "entrypoint"),
    ],
)
def test_the_error_for_a_malformed_upload_names_the_field(fields, param):
    with pytest.raises(InvalidRequestError) as caught:
        load_payload(payload(**fields))

    assert caught.value.param == param


def test_a_source_that_is_too_long_is_refused_as_too_large():
    fits = GREET + "#" * (MAX_SOURCE_LENGTH - len(GREET))

    assert load_payload(payload(source=fits))
    with pytest.raises(TooLargeError) as caught:
        load_payload(payload(source=fits + "#"))
    assert (caught.value.status_code, caught.value.param) == (413, "source")


OLDER = """
from quote_mod_sdk import Prefilled, mod
{imports}

@mod
def Greet(event, actions, tokenizer):
    if isinstance(event, Prefilled):
        return actions.force_output(tokenizer.encode({word}))
"""


def output_of(**fields):
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
    assert output_of(**fields) == "hey"


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

    assert output_of(module=module, **{"source": None, param: files}) == "words"


def test_the_module_of_a_single_file_is_optional():
    files = {"pkg/mod.py": OLDER.format(imports="", word="'hey'")}

    assert output_of(module=None, source=files) == "hey"
    assert output_of(source=files) == "hey"


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
        ({"home": "a/b"}, "home", "package"),
        ({"language": "rust"}, "language", "python"),
    ],
)
def test_unsupported_payloads_are_rejected_by_field(fields, param, words):
    with pytest.raises(InvalidRequestError, match=words) as caught:
        output_of(**fields)

    assert caught.value.param == param
