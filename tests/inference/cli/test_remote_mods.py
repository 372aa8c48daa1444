"""Mods that a command uploads to a server for one request."""

import pytest
from concordance_inference.cli.remote_mods import RemoteMods, _typed, remote_mods
from concordance_inference.cli.server_client import ServerClient, ServerRefusedError
from concordance_inference.mods.catalog import NamedMod
from concordance_sdk import builtin
from concordance_sdk.host import definition_of
from concordance_shared import InvalidRequestError, ModReport
from msgspec import json
from scripted_server import scripted_server

MOD = """
from concordance_sdk import mod

@mod
class Swap:
    at: int = 3

    def added(self, event, actions): ...
"""


@pytest.fixture(name="file")
def _file(tmp_path):
    (tmp_path / "my.py").write_text(MOD)
    return tmp_path / "my.py"


def test_mod_of_a_file_is_uploaded_under_a_private_name_and_removed(file):
    with (
        scripted_server({("POST", "/v1/mods"): (201, {}), ("DELETE", None): (200, {})}) as (
            url,
            requests,
        ),
        remote_mods(ServerClient(url), [file]) as mods,
    ):
        (chosen,) = mods.select([NamedMod(name="swap", params={"at": "7"})])
        private = chosen["name"]

        assert chosen["params"] == {"at": 7}
        assert private.startswith("swap.")
        assert mods.plain(f"mod {private!r} (<mod {private}>/my.py:4)") == (
            f"mod 'swap' ({file}:4)"
        )
        report = ModReport(mod=f"{private}/inner", step=0, data={})
        assert mods.own_reports([report])[0].mod == "swap/inner"

    assert [(method, path) for method, path, _ in requests] == [
        ("POST", "/v1/mods"),
        ("DELETE", f"/v1/mods/{private}"),
    ]


def test_upload_is_removed_after_an_error_which_names_the_mods_of_this_machine(file):
    with scripted_server({("POST", "/v1/mods"): (201, {}), ("DELETE", None): (200, {})}) as (
        url,
        requests,
    ):

        def fail():
            with remote_mods(ServerClient(url), [file]) as mods:
                (chosen,) = mods.select([NamedMod(name="swap")])
                name = chosen["name"]
                raise ServerRefusedError(f"mod {name!r} failed in <mod {name}>/my.py")

        with pytest.raises(ServerRefusedError, match=f"^mod 'swap' failed in {file}$"):
            fail()

        assert requests[-1][0] == "DELETE"


def test_wrong_parameter_of_a_local_mod_is_refused_before_the_upload(file):
    with pytest.raises(InvalidRequestError, match="expected `int`"):
        RemoteMods(ServerClient("http://127.0.0.1:9"), [file]).select(
            [NamedMod(name="swap", params={"at": "x"})]
        )


@pytest.mark.parametrize("status", [403, 405])
def test_server_that_accepts_no_uploads_is_named(file, status):
    with (
        scripted_server({("POST", "/v1/mods"): (status, "no")}) as (url, requests),
        pytest.raises(ServerRefusedError, match=f"{url} accepts no uploads .*my.py cannot run"),
        remote_mods(ServerClient(url), [file]) as mods,
    ):
        mods.select([NamedMod(name="swap")])

    assert [method for method, *_ in requests] == ["POST"]


def test_failed_removal_is_reported_and_not_raised(file, capsys):
    with (
        scripted_server({("POST", "/v1/mods"): (201, {})}) as (url, _),
        remote_mods(ServerClient(url), [file]) as mods,
    ):
        mods.select([NamedMod(name="swap")])

    assert "mod 'swap' remains on the server as 'swap." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("mod", "key", "text", "value"),
    [
        (builtin.StopAfterSentences, "count", "2", 2),
        (builtin.StopAfterSentences, "count", "two", "two"),
        (builtin.Avoid, "words", "blue", ["blue"]),
        (builtin.Avoid, "words", '["red", "blue"]', ["red", "blue"]),
        (builtin.BiasWords, "strength", "2.5", 2.5),
        (builtin.Replace, "whole_words", "True", True),
        (builtin.Replace, "find", "12", "12"),
        (builtin.Replace, "nosuch", "12", "12"),
    ],
)
def test_text_is_converted_by_the_servers_schema(mod, key, text, value):
    schema = json.schema(definition_of(mod).parameters)

    assert _typed(text, schema, key) == value


def test_text_is_converted_to_one_of_several_types():
    schema = {
        "properties": {
            "a": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "b": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "c": {"type": "array", "items": {"type": "integer"}},
        }
    }

    assert [_typed("3", schema, "a"), _typed("null", schema, "a")] == [3, None]
    assert _typed("null", schema, "b") == "null"
    assert _typed("3", schema, "c") == [3]


def test_mod_of_the_server_is_described_by_it_only_if_it_has_parameters():
    described = {"parameters": {"properties": {"count": {"type": "integer"}}}}
    with scripted_server({("GET", "/v1/mods/stop"): (200, described)}) as (url, requests):
        mods = RemoteMods(ServerClient(url), [])

        assert mods.select([NamedMod(name="other")]) == [{"name": "other", "params": {}}]
        assert requests == []
        chosen = mods.select([NamedMod(name="stop", params={"count": "2"})])
        assert chosen == [{"name": "stop", "params": {"count": 2}}]
