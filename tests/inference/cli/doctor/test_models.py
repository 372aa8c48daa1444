"""Models: what is here, its size, and what fits."""

import pytest
from concordance_inference.cli.doctor import models
from concordance_inference.cli.doctor.finding import findings
from concordance_inference.cli.options import Doctor
from tiny_folder import write_tiny_folder


def checked(check, **options):
    (found,) = findings(check, Doctor(**options))
    return found


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory):
    return write_tiny_folder(tmp_path_factory.mktemp("models") / "tiny-llama")


def test_memory_tells_which_models_fit():
    found = checked(models.memory)

    sizes = [*found.data["billions_of_parameters"].values()]
    assert sizes == sorted(sizes, reverse=True)
    assert found.data["bytes"] > 0


def test_embedded_model_is_here_or_a_note(monkeypatch):
    assert checked(models.embedded).data["file"].endswith(".gguf")
    monkeypatch.setattr("concordance_inference.models.embedded.embedded_gguf", lambda: None)
    assert checked(models.embedded).status == "note"


def test_model_of_a_folder_has_its_sizes(folder):
    found = checked(models.model, model=[str(folder)])

    assert found.status == "ok", found.text
    assert found.data["longest"] == found.data["context_length"]
    assert found.data["weight_bytes"] > 0
    assert found.data["kv_bytes_per_token"] > 0


def test_little_memory_for_caches_is_a_note_and_none_a_problem(folder):
    per_token = checked(models.model, model=[str(folder)]).data["kv_bytes_per_token"]

    little = checked(models.model, model=[str(folder)], kv_memory=per_token * 1024 / 1e9)
    assert (little.status, 0 < little.data["longest"] <= 1024) == ("note", True)
    none = checked(models.model, model=[str(folder)], kv_memory=0.0)
    assert (none.status, "choose a smaller model" in none.text) == ("problem", True)


def test_weights_larger_than_the_memory_are_a_problem(folder, monkeypatch):
    monkeypatch.setattr("concordance_inference.engine.model.memory.memory_size", lambda: 1000)

    found = checked(models.model, model=[str(folder)])
    assert (found.status, "more than the memory of 1 kB" in found.text) == ("problem", True)


def test_model_that_is_not_here_is_downloaded_unless_the_hub_is_offline(monkeypatch):
    assert checked(models.model, model=["nobody/nothing"]).status == "note"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    found = checked(models.model, model=["nobody/nothing"])
    assert (found.status, "download it first" in found.text) == ("problem", True)


def test_several_models_share_the_memory(folder):
    options = Doctor(model=[f"a={folder}", f"b={folder}", "nobody/nothing"], model_memory=0.1)

    absent, first, second = findings(models.model, options)

    assert absent.text.startswith("nobody/nothing is downloaded")
    assert (first.text[:2], second.text[:2]) == ("a:", "b:")
    both = first.data["weight_bytes"] + second.data["weight_bytes"]
    assert first.data["kv_bytes"] == second.data["kv_bytes"] == (100_000_000 - both) // 2


def test_model_that_does_not_fit_beside_others_is_a_problem(folder):
    found = checked(models.model, model=[str(folder)], model_memory=1e-6)

    assert (found.status, "--model-memory" in found.text) == ("problem", True)


def test_alias_of_no_model_is_a_problem(folder):
    found = checked(models.model, model=[str(folder)], alias=["x=y"])

    assert (found.status, "--alias 'x=y'" in found.text) == ("problem", True)


def test_model_that_does_not_exist_is_a_problem():
    found = checked(models.model, model=["/nowhere"])

    assert (found.status, found.check) == ("problem", "model")
    assert "no folder or GGUF file at /nowhere" in found.text
