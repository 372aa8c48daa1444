"""The field `banned_strings`."""

import pytest
from concordance_inference.llm_options import checked_options
from concordance_shared import InvalidRequestError
from fake_engine import FakeEngine

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}


def mods_of(serve, path="/v1/chat/completions", **fields):
    engine = FakeEngine()
    assert serve(engine).post(path, json={**ASK, **fields}).status_code == 200
    return [(call.name, dict(call.parameters)) for call in engine.requests[0].mods]


def test_banned_strings_are_banned_by_a_mod_after_those_that_are_named(serve):
    banned = ("banned_strings", {"strings": ["red", "blue"]})

    assert mods_of(serve, banned_strings=["red", "blue", "red"]) == [banned]
    names = [name for name, _ in mods_of(serve, banned_strings=["red"], mods=["greeting"])]
    assert names == ["greeting", "banned_strings"]


def test_plain_completions_have_banned_strings(serve):
    engine = FakeEngine()
    body = {"model": "fake", "prompt": "a", "banned_strings": ["red"]}

    assert serve(engine).post("/v1/completions", json=body).status_code == 200
    assert [call.name for call in engine.requests[0].mods] == ["banned_strings"]


@pytest.mark.parametrize("nothing", [[], None])
def test_no_banned_strings_add_no_mod(serve, nothing):
    assert mods_of(serve, banned_strings=nothing) == []


@pytest.mark.parametrize("wrong", [[""], ["x" * 257], ["x"] * 65, "red", [1]])
def test_wrong_banned_strings_are_refused_by_name(client, wrong):
    response = client.post("/v1/chat/completions", json={**ASK, "banned_strings": wrong})

    assert response.status_code == 400
    assert response.json()["error"]["param"].startswith("banned_strings")


def test_bad_words_are_refused_with_the_field_that_bans_texts(client):
    response = client.post("/v1/chat/completions", json={**ASK, "bad_words": ["red"]})

    assert response.status_code == 400
    assert "banned_strings" in response.json()["error"]["message"]


def test_the_python_api_has_banned_strings():
    assert checked_options({"banned_strings": ["red"]}).banned_strings == ("red",)
    with pytest.raises(InvalidRequestError, match="banned_strings"):
        checked_options({"banned_strings": [""]})
