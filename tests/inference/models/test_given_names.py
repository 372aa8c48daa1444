"""Names of models, as operators and requests give them."""

import pytest
from concordance_inference.models.given_names import default_id, model_at
from concordance_shared import ModelLoadError


def test_the_id_of_a_model_is_the_name_of_its_folder_or_file_or_the_id_on_the_hub(tmp_path):
    (tmp_path / "tiny").mkdir()

    assert default_id(None) == "SmolLM2-135M-Instruct"
    assert default_id(f"{tmp_path}/tiny/../tiny/") == "tiny"
    assert default_id("a/small.gguf") == "small"
    assert default_id("owner/name") == "owner/name"


@pytest.mark.parametrize("name", ["~nobody-of-this-name/x", "a\0b", "x" * 5000])
def test_a_name_that_can_be_no_path_is_an_id(name):
    assert default_id(name) == name


def test_a_model_at_a_path_is_a_folder_with_a_config_or_a_gguf_file(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "a.gguf").touch()

    assert model_at(str(tmp_path)) == tmp_path
    assert model_at(f"{tmp_path}/a.gguf") == tmp_path / "a.gguf"
    assert model_at("owner/name") is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("empty", "has no config.json"),
        ("notes.txt", "is not a GGUF file"),
        ("absent.gguf", "there is no folder or GGUF file"),
        ("absent", "there is no folder or GGUF file"),
        ("empty.gguf", "has no config.json"),
    ],
)
def test_a_path_without_a_model_is_an_error_that_names_it(tmp_path, name, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.gguf").mkdir()
    (tmp_path / "notes.txt").touch()

    with pytest.raises(ModelLoadError, match=said) as error:
        model_at(f"{tmp_path}/{name}")
    assert name in str(error.value)


@pytest.mark.parametrize("name", ["./absent", "~/absent-model-of-no-one"])
def test_a_name_that_begins_as_a_path_is_no_id_on_the_hub(name):
    with pytest.raises(ModelLoadError, match="there is no folder or GGUF file"):
        model_at(name)
