"""A mod as the body of an upload."""

import importlib.util
import sys

import pytest
from concordance_sdk import ModDefinitionError, mod, serialize_mod
from concordance_sdk.host import definition_of

SOURCE = '''
from concordance_sdk import mod

@mod
def greet(event, actions):
    """Hello."""
'''


def load(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(name="module")
def _module(tmp_path):
    path = tmp_path / "pack" / "greeting.py"
    path.parent.mkdir()
    path.write_text(SOURCE)
    (tmp_path / "pack" / "words.py").write_text("HELLO = 'hello'")
    yield load(path, "greeting_under_test")
    del sys.modules["greeting_under_test"]


def test_payload_of_one_module(module):
    payload = serialize_mod(module.greet)

    assert (payload.name, payload.entrypoint, payload.module) == ("greet", "greet", "greeting")
    assert (payload.source, payload.files, payload.language) == (SOURCE, None, "python")


def test_payload_of_a_folder_has_all_its_files(module, tmp_path):
    payload = serialize_mod(module.greet, name="hello", folder=tmp_path)

    assert (payload.name, payload.module) == ("hello", "pack.greeting")
    assert payload.files == {"pack/greeting.py": SOURCE, "pack/words.py": "HELLO = 'hello'"}


def test_module_outside_of_the_folder_is_rejected(module, tmp_path):
    (tmp_path / "elsewhere").mkdir()

    with pytest.raises(ModDefinitionError, match="not in"):
        serialize_mod(module.greet, folder=tmp_path / "elsewhere")


def test_mod_inside_a_function_is_rejected():
    @mod
    def local(event, actions): ...

    with pytest.raises(ModDefinitionError, match="top level"):
        serialize_mod(local)


def test_mod_without_a_source_file_is_rejected():
    namespace = {"__name__": "nowhere"}
    exec(SOURCE, namespace)

    with pytest.raises(ModDefinitionError, match="not in a file"):
        serialize_mod(namespace["greet"])


@pytest.mark.parametrize(
    ("source", "entrypoint"),
    [
        (
            "from concordance_sdk.constraints import ChoicesStrat, constrain\n"
            "label = constrain(ChoicesStrat(['a']), name='label')\n",
            "label",
        ),
        (
            "from concordance_sdk import mod\nfrom concordance_sdk.builtin import Replace\n"
            "@mod\nclass NoCats(Replace):\n    find: str = 'cat'\n    replacement: str = 'dog'\n",
            "NoCats",
        ),
        (
            "from concordance_sdk import mod\ndef make():\n    @mod(name='made')\n"
            "    def inner(event, actions): ...\n    return inner\noutside = make()\n",
            "outside",
        ),
    ],
)
def test_mod_that_has_another_module_or_name_than_its_variable(tmp_path, source, entrypoint):
    path = tmp_path / "other.py"
    path.write_text(source)
    target = getattr(load(path, "other_under_test"), entrypoint)
    payload = serialize_mod(target)
    del sys.modules["other_under_test"]

    assert (payload.entrypoint, payload.module, payload.source) == (entrypoint, "other", source)
    where = definition_of(target).where
    assert where.rpartition(":")[0] == str(path)
