"""The names of `quote_mod_sdk` are importable for sources that use it, and for no others."""

import sys

import pytest
from concordance_inference.mods.compat.quote_mod_sdk import aliases
from concordance_inference.mods.loading import load_path, load_payload
from concordance_sdk import ModPayload
from concordance_sdk.host import registry
from concordance_sdk.testing import play
from concordance_shared import ModLoadError


def upload(source, entrypoint="raw", **fields):
    payload = ModPayload(name="uploaded", entrypoint=entrypoint, source=source, **fields)
    return load_payload(payload)[0]


def test_aliases_are_importable_inside_functions():
    before = set(sys.modules)
    definition = upload(
        """
def raw(event, tokenizer):
    from quote_mod_sdk import ForwardPass
    import shared.types as types
    from max.driver import Tensor
    if isinstance(event, ForwardPass) and event.step == 0:
        return types.ForceTokens(tokenizer.encode("late "))
"""
    )

    assert play(definition, says="x").text == "late x"
    names = {name.partition(".")[0] for name in set(sys.modules) - before}
    assert not names & {"quote_mod_sdk", "shared", "max", "sdk"}


def test_aliases_are_importable_in_an_upload_of_several_files():
    files = {
        "pack/mod.py": "from quote_mod_sdk import mod\nfrom .words import reply\n"
        "@mod\ndef entry(event, actions, tokenizer): return reply(event, actions, tokenizer)\n",
        "pack/words.py": "from sdk.quote_mod_sdk import Prefilled\n"
        "def reply(event, actions, tokenizer):\n"
        "    if isinstance(event, Prefilled):\n"
        "        return actions.force_output(tokenizer.encode('hey'))\n",
    }
    payload = ModPayload(name="uploaded", entrypoint="entry", module="pack.mod", files=files)

    assert play(load_payload(payload)[0], says="").text == "hey"


@pytest.mark.parametrize(
    "line",
    [
        "from shared import types",
        "from shared import conversation as c, types",
        "from shared import (\n    conversation,\n    types,\n)",
        "import shared.types\nfrom shared import types",
    ],
)
def test_submodules_are_importable_from_their_package(line):
    definition = upload(
        f"""
{line}
def raw(event, tokenizer):
    if isinstance(event, types.Prefilled):
        return types.ForceOutput(tokenizer.encode("hey"))
"""
    )

    assert play(definition, says="").text == "hey"


# Missing names


def test_an_alias_without_an_implementation_is_an_import_error(load, monkeypatch):
    table = {**aliases.ALIASES["quote_mod_sdk.flow"], "FlowEngine": "concordance_sdk.nowhere:Flow"}
    monkeypatch.setitem(aliases.ALIASES, "quote_mod_sdk.flow", table)
    with pytest.raises(ModLoadError) as caught:
        load("from quote_mod_sdk.flow import FlowEngine")

    for word in ("quote_mod_sdk.flow.FlowEngine", "concordance_sdk.nowhere.Flow", "line 1"):
        assert word in caught.value.message


@pytest.mark.parametrize(
    "line",
    ["from quote_mod_sdk import nothing", "import quote_mod_sdk.nowhere", "import shared.nowhere"],
)
def test_an_unknown_name_is_an_import_error(load, line):
    with pytest.raises(ModLoadError, match="nothing|nowhere"):
        load(f"import quote_mod_sdk\n{line}")


def test_a_file_of_quote_mod_sdk_without_mods_is_an_error(load):
    with pytest.raises(ModLoadError, match="defines no mod"):
        load("from quote_mod_sdk import mod")


# Apart from everybody else


def test_aliases_are_not_importable_for_other_sources(load):
    with pytest.raises(ModLoadError, match="ModuleNotFoundError"):
        load("from max.driver import Tensor")


def test_a_sources_own_package_shared_is_not_an_alias(tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "words.py").write_text("WORD = 'own'")
    (tmp_path / "newer.py").write_text(
        "from shared import words  # of all types\nfrom max.driver import Tensor\n"
    )

    with pytest.raises(ModLoadError, match="ModuleNotFoundError"):
        load_path(tmp_path)


def test_a_sources_own_package_has_precedence_over_aliases(tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "__init__.py").write_text("MARK = '!'")
    (tmp_path / "shared" / "words.py").write_text("WORD = 'own'")
    (tmp_path / "older.py").write_text(
        "from quote_mod_sdk import Prefilled, mod\nfrom shared.words import WORD\n"
        "from shared import MARK\n"
        "from shared.types import ForceOutput\n"
        "@mod\ndef own(event, actions, tokenizer):\n"
        "    if isinstance(event, Prefilled): return ForceOutput(tokenizer.encode(WORD + MARK))\n"
    )
    definitions, _ = load_path(tmp_path)

    assert play(definitions[0], says="").text == "own!"


def test_aliases_leave_sys_modules_unchanged(load):
    before = set(sys.modules), list(sys.meta_path)
    load("from quote_mod_sdk import mod\n@mod\ndef gone(event, actions): ...")

    left = {name for name in set(sys.modules) - before[0] if not name.startswith("concordance")}
    assert not {name.partition(".")[0] for name in left} & {"quote_mod_sdk", "shared", "max"}
    assert list(sys.meta_path) == before[1]
    assert registry.get("gone") is None
