"""The upload of a mod of a file or folder, as it is built and as the server loads it."""

import pytest
from concordance_inference.mods.loading import load_payload
from concordance_inference.mods.push_payload import push_payload
from concordance_shared import ModLoadError

MARKED = "from concordance_sdk import mod\n@mod\ndef {0}(event, actions): ...\n"
REGISTERED = (
    "from concordance_sdk.constraints import ChoicesStrat, constrain\n"
    "for name in ['a-1', 'a-2']:\n    constrain(ChoicesStrat([name]), name=name)\n"
)


def test_a_mod_is_uploaded_by_the_name_of_its_variable(tmp_path):
    (tmp_path / "a.py").write_text(MARKED.format("greet") + "hello = greet\n")
    payload = push_payload(tmp_path / "a.py", name="renamed")

    assert (payload.entrypoint, payload.module, payload.name) == ("greet", "a", "renamed")
    assert load_payload(payload)[0].name == "renamed"


def test_a_mod_without_a_variable_is_uploaded_by_its_registered_name(tmp_path):
    (tmp_path / "a.py").write_text(REGISTERED)
    payload = push_payload(tmp_path / "a.py", mod="a-2")

    assert payload.entrypoint == "a-2"
    assert load_payload(payload)[0].name == "a-2"


def test_the_module_that_registers_a_mod_is_named_though_another_imports_it(tmp_path):
    (tmp_path / "a.py").write_text("import b\nfrom b import greet\n" + MARKED.format("other"))
    (tmp_path / "b.py").write_text(MARKED.format("greet"))
    payload = push_payload(tmp_path, mod="greet")

    assert payload.files.keys() == {"a.py", "b.py"}
    assert load_payload(payload)[0].name == "greet"


def test_a_mod_that_another_file_imports_is_one_mod(tmp_path):
    (tmp_path / "a.py").write_text("from b import greet\n")
    (tmp_path / "b.py").write_text(MARKED.format("greet"))

    assert push_payload(tmp_path).name == "greet"


def test_mods_of_imported_files_are_chosen_by_name_only(tmp_path):
    (tmp_path / "a.py").write_text("import b\n" + MARKED.format("own"))
    (tmp_path / "b.py").write_text(MARKED.format("imported"))

    assert push_payload(tmp_path / "a.py", folder=tmp_path).name == "own"
    assert push_payload(tmp_path / "a.py", folder=tmp_path, mod="imported").name == "imported"


def test_an_unknown_name_is_an_error_that_lists_the_mods(tmp_path):
    (tmp_path / "a.py").write_text(REGISTERED)

    with pytest.raises(ModLoadError, match="defines a-1, a-2, and not 'b'"):
        push_payload(tmp_path / "a.py", mod="b")
