"""The catalog of mods."""

import os

import pytest
from concordance_inference.engine.request.instances import make_instances
from concordance_inference.mods import catalog as module
from concordance_inference.mods import uploads
from concordance_inference.mods.catalog import ModCatalog, NamedMod
from concordance_inference.mods.loading import load_path
from concordance_sdk import ModPayload
from concordance_shared import (
    ConflictError,
    InvalidRequestError,
    ModLoadError,
    SandboxUnavailableError,
    UnknownModError,
)
from sandboxes import limited, mod_catalog
from tiny import TRAITS, ask

SAY = """
from concordance_sdk import mod

@mod
class say:
    words: str
    times: int = 1

    def added(self, event, actions): ...
"""


def payload(name="hello", source=SAY):
    return ModPayload(name=name, entrypoint="say", source=source)


@pytest.fixture(autouse=True)
def _check_files_always(monkeypatch):
    monkeypatch.setattr(module, "_RECHECK_S", 0.0)


def write(path, text, *, age=0):
    path.write_text(text)
    os.utime(path, (1000 + age, 1000 + age))


def test_the_catalog_contains_the_builtin_mods():
    assert mod_catalog().get("replace").source == "installed"


def test_the_catalog_contains_the_mods_of_a_folder(tmp_path):
    write(tmp_path / "a.py", SAY)

    entry = ModCatalog([tmp_path]).get("say")

    assert (entry.source, len(entry.version)) == ("path", 12)


def test_a_changed_file_is_reloaded_and_the_old_entry_is_unchanged(tmp_path):
    write(tmp_path / "a.py", SAY)
    catalog = ModCatalog([tmp_path])
    before = catalog.get("say")
    write(tmp_path / "a.py", SAY.replace("times", "count"), age=1)
    after = catalog.get("say")

    assert before.definition.parameters.__struct_fields__ == ("words", "times")
    assert after.definition.parameters.__struct_fields__ == ("words", "count")
    assert before.version != after.version


def test_a_new_file_is_loaded(tmp_path):
    write(tmp_path / "a.py", SAY)
    catalog = ModCatalog([tmp_path])
    write(tmp_path / "b.py", SAY.replace("class say", "class other"))

    assert catalog.get("other").name == "other"


def test_a_broken_file_is_an_error_for_requests_with_its_mods_until_it_is_fixed(tmp_path):
    write(tmp_path / "a.py", SAY)
    catalog = ModCatalog([tmp_path])
    write(tmp_path / "a.py", "def (", age=1)

    with pytest.raises(ModLoadError, match=r"a\.py"):
        catalog.get("say")
    assert catalog.get("replace")

    write(tmp_path / "a.py", SAY, age=2)
    assert catalog.get("say")


def test_a_catalog_with_a_broken_file_raises_at_startup(tmp_path):
    write(tmp_path / "a.py", "def (")

    with pytest.raises(ModLoadError):
        ModCatalog([tmp_path])


def test_two_paths_with_a_mod_of_one_name_raise_at_startup_and_name_both(tmp_path):
    for name in ("a.py", "b.py"):
        write(tmp_path / name, SAY)

    with pytest.raises(ModLoadError, match=r"two paths define a mod 'say': .*a\.py.*b\.py"):
        ModCatalog([tmp_path / "a.py", tmp_path / "b.py"])


def test_of_two_paths_with_a_mod_of_one_name_the_first_is_listed_and_served(tmp_path):
    write(tmp_path / "a.py", SAY)
    write(tmp_path / "b.py", SAY.replace("class say", "class other"))
    catalog = ModCatalog([tmp_path / "a.py", tmp_path / "b.py"])
    write(tmp_path / "b.py", SAY.replace("times", "count"), age=1)
    (listed,) = [entry for entry in catalog.entries() if entry.name == "say"]

    assert listed is catalog.get("say")
    assert listed.definition.parameters.__struct_fields__ == ("words", "times")


def test_a_mod_of_a_path_has_priority_over_an_installed_one(tmp_path):
    write(tmp_path / "a.py", SAY.replace("class say", "class replace"))

    assert ModCatalog([tmp_path]).get("replace").source == "path"


def test_the_error_for_an_unknown_mod_lists_the_known_ones():
    with pytest.raises(UnknownModError, match=r"'nosuch'.*replace") as caught:
        mod_catalog().resolve([NamedMod(name="nosuch", where="mods[0]")])

    assert caught.value.param == "mods[0]"


def test_parameters_are_validated_and_errors_name_the_field(tmp_path):
    write(tmp_path / "a.py", SAY)
    catalog = ModCatalog([tmp_path])

    (call,) = catalog.resolve([NamedMod(name="say", params={"words": "x"})])
    assert call.parameters == {"words": "x", "times": 1}
    with pytest.raises(InvalidRequestError, match="'say'.*words") as caught:
        catalog.resolve([NamedMod(name="say", where="mods[2]")])
    assert caught.value.param == "mods[2].params"


def test_the_parameters_of_an_upload_are_validated_by_its_worker():
    catalog = mod_catalog()
    catalog.upload(payload())
    (call,) = catalog.resolve([NamedMod(name="hello", where="mods[2]")])

    with pytest.raises(InvalidRequestError, match="'hello'.*words") as caught:
        make_instances(ask("Hello", call), TRAITS)
    assert caught.value.param == "mods[2].params"


def test_strings_are_accepted_for_numbers_unless_strict(tmp_path):
    write(tmp_path / "a.py", SAY)
    catalog = ModCatalog([tmp_path])
    named = [NamedMod(name="say", params={"words": "x", "times": "3"})]

    assert catalog.resolve(named, strict=False)[0].parameters["times"] == 3
    with pytest.raises(InvalidRequestError):
        catalog.resolve(named)


def test_a_function_mod_takes_no_parameters():
    catalog = mod_catalog()
    catalog.upload(ModPayload(name="f", entrypoint="f", source="def f(event, actions): ..."))
    (call,) = catalog.resolve([NamedMod(name="f", params={"x": 1})])

    with pytest.raises(InvalidRequestError, match="parameters are: none"):
        make_instances(ask("Hello", call), TRAITS)


def test_an_upload_replaces_an_earlier_upload_of_the_same_name():
    catalog = mod_catalog()
    first = catalog.upload(payload())
    second = catalog.upload(payload(source=SAY + "\n# again"))

    assert catalog.get("hello").version == second.version != first.version


def test_an_upload_cannot_replace_a_mod_of_the_operator(tmp_path):
    write(tmp_path / "a.py", SAY)
    catalog = ModCatalog([tmp_path])

    for name in ("replace", "say"):
        with pytest.raises(ConflictError, match="operator"):
            catalog.upload(payload(name=name))


def test_the_number_of_uploads_is_limited(monkeypatch):
    monkeypatch.setattr(uploads, "MAX_UPLOADS", 2)
    catalog = mod_catalog()
    catalog.upload(payload("a"))
    catalog.upload(payload("b"))
    catalog.upload(payload("a"))

    with pytest.raises(ConflictError, match="delete one"):
        catalog.upload(payload("c"))


def test_only_uploads_can_be_deleted():
    catalog = mod_catalog()
    catalog.upload(payload())
    catalog.delete("hello")

    with pytest.raises(UnknownModError):
        catalog.get("hello")
    with pytest.raises(UnknownModError):
        catalog.delete("hello")
    with pytest.raises(ConflictError):
        catalog.delete("replace")


STUBBORN = """
import time
from concordance_sdk import mod

end = time.monotonic() + 3
while time.monotonic() < end:
    try:
        time.sleep(0.5)
    except BaseException:
        pass

@mod
class say:
    def added(self, event, actions): ...
"""


def test_an_upload_that_exceeds_the_time_limit_is_not_added():
    with limited(load_s=0.3) as sandbox:
        catalog = ModCatalog(sandbox=sandbox)
        with pytest.raises(ModLoadError, match="not loaded within 0.3 s"):
            catalog.upload(payload(source=STUBBORN))

        with pytest.raises(UnknownModError):
            catalog.get("hello")


def test_without_a_sandbox_uploads_are_refused_and_nothing_runs():
    with pytest.raises(SandboxUnavailableError, match="there is no sandbox"):
        ModCatalog().upload(payload(source="raise SystemExit"))


def test_a_changed_file_that_never_finishes_loading_is_an_error_for_requests(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(module, "LOAD_S", 0.1)
    write(tmp_path / "a.py", SAY)
    catalog = ModCatalog([tmp_path])
    write(tmp_path / "a.py", "while True:\n    pass\n", age=1)

    with pytest.raises(ModLoadError, match="did not finish loading: it took longer than 0.1 s"):
        catalog.get("say")
    assert "did not finish loading" in caplog.text


def test_first_error_is_raised_and_not_logged_too(tmp_path, caplog):
    (tmp_path / "bad.py").write_text("syntax error")

    with pytest.raises(ModLoadError, match="invalid syntax"):
        ModCatalog([tmp_path / "bad.py"])
    assert caplog.text == ""


def test_an_empty_folder_is_accepted_with_a_warning_and_read_again(tmp_path, caplog):
    catalog = ModCatalog([tmp_path])

    assert f"{tmp_path} has no Python file yet" in caplog.text
    with pytest.raises(UnknownModError):
        catalog.get("written_later")
    write(tmp_path / "a.py", SAY.replace("class say", "class written_later"))
    assert catalog.get("written_later").source == "path"


def test_a_folder_of_files_without_mods_is_refused(tmp_path):
    write(tmp_path / "a.py", "x = 1")

    with pytest.raises(ModLoadError, match="defines no mod"):
        ModCatalog([tmp_path])


def test_a_file_given_twice_and_in_its_folder_is_no_clash(tmp_path):
    write(tmp_path / "a.py", SAY)
    (tmp_path / "folder").mkdir()
    write(tmp_path / "folder" / "b.py", SAY.replace("class say", "class other"))

    catalog = ModCatalog([tmp_path / "a.py", tmp_path / "a.py", tmp_path / "folder"])

    assert {"say", "other"} <= {entry.name for entry in catalog.entries()}


def test_a_mod_of_a_package_and_of_a_path_with_one_name_is_refused(tmp_path, monkeypatch):
    write(tmp_path / "package.py", SAY)
    write(tmp_path / "a.py", SAY)
    packaged, _ = load_path(tmp_path / "package.py")
    monkeypatch.setattr(module, "load_entry_points", lambda: packaged)

    with pytest.raises(ModLoadError, match=r"mod 'say': .*package\.py:\d+ and .*a\.py:\d+; rename"):
        ModCatalog([tmp_path / "a.py"])


TWO = """
from concordance_sdk import mod
from concordance_sdk.builtin import StopAt

@mod
def say(event, actions): ...

{second}
"""


@pytest.mark.parametrize(
    "second",
    [
        "@mod\ndef say(event, actions): ...",
        "@mod(name='say')\ndef other(event, actions): ...",
        "@mod\nclass Say:\n    def added(self, event, actions): ...",
        "@mod(name='say')\nclass Other(StopAt):\n    phrases: str = 'x'",
    ],
)
@pytest.mark.parametrize("is_folder", [False, True])
def test_two_mods_of_one_name_in_a_file_are_refused_with_both_places(tmp_path, second, is_folder):
    write(tmp_path / "a.py", TWO.format(second=second))

    with pytest.raises(ModLoadError, match=r"define a mod 'say': .*a\.py:5 and "):
        ModCatalog([tmp_path if is_folder else tmp_path / "a.py"])


def test_two_files_of_a_folder_with_mods_of_one_name_are_refused(tmp_path):
    write(tmp_path / "a.py", SAY)
    write(tmp_path / "b.py", SAY)

    with pytest.raises(
        ModLoadError, match=r"mod 'say': .*a\.py:\d+ and .*b\.py:\d+; rename or remove"
    ):
        ModCatalog([tmp_path])


def test_a_mod_that_is_marked_twice_is_one_mod(tmp_path):
    write(tmp_path / "a.py", SAY + "\nmod(say)\n")

    assert ModCatalog([tmp_path]).get("say").name == "say"
