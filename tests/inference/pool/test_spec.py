"""How the operator names models."""

import pytest
from concordance_inference.pool.spec import parse_aliases, parse_models
from concordance_shared import InvalidRequestError


def names_and_places(*given):
    return [(spec.name, spec.place) for spec in parse_models(given)]


def test_no_model_is_the_embedded_default():
    assert names_and_places() == [("SmolLM2-135M-Instruct", None)]


def test_a_model_is_named_as_its_folder_its_file_or_its_id_on_the_hub(tmp_path):
    folder = tmp_path / "tiny"
    folder.mkdir()

    assert names_and_places(str(folder), "x/small.gguf", "org/name") == [
        ("tiny", str(folder)),
        ("small", "x/small.gguf"),
        ("org/name", "org/name"),
    ]


def test_a_name_before_an_equals_sign_is_the_name(tmp_path):
    assert names_and_places("fast=org/name", "slow=/a=b") == [
        ("fast", "org/name"),
        ("slow", "/a=b"),
    ]
    odd = tmp_path / "a=b"
    odd.mkdir()
    assert names_and_places(str(odd)) == [("a=b", str(odd))]


def test_two_models_of_one_name_are_refused(tmp_path):
    with pytest.raises(InvalidRequestError, match="both named 'tiny'.*--model NAME=y/tiny.gguf"):
        parse_models(["x/tiny.gguf", "y/tiny.gguf"])


@pytest.mark.parametrize("given", ["=org/name", "name="])
def test_a_name_or_a_model_that_is_missing_is_refused(given):
    with pytest.raises(InvalidRequestError, match="NAME=PLACE"):
        parse_models([given])


def test_aliases_are_other_names_of_models():
    assert parse_aliases(["gpt-4o=a", "gpt-4o-mini=b"], ["a", "b"]) == {
        "gpt-4o": "a",
        "gpt-4o-mini": "b",
    }


@pytest.mark.parametrize("given", ["x=nosuch", "x", "=a", "b=a"])
def test_an_alias_of_no_model_or_with_the_name_of_one_is_refused(given):
    with pytest.raises(InvalidRequestError, match=f"--alias '{given}'"):
        parse_aliases([given], ["a", "b"])
