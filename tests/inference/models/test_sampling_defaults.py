"""Sampling parameters of requests that set none."""

import json
import logging

import pytest
from concordance_inference.generation import SamplingDefaults, SamplingParams
from concordance_inference.models.embedded import DEFAULT_HUB_ID, DEFAULT_MODEL
from concordance_inference.models.loader import load_model
from concordance_inference.models.options import ModelOptions
from concordance_inference.models.sampling_defaults import sampling_defaults
from tiny_folder import write_tiny_folder

FILE = "generation_config.json"


def written(folder, **values):
    (folder / FILE).write_text(json.dumps(values))
    return sampling_defaults("some/model", folder)


def test_a_model_without_a_file_has_openais_defaults(tmp_path):
    assert sampling_defaults("some/model", tmp_path) == SamplingDefaults(source="openai")
    assert written(tmp_path, eos_token_id=2, do_sample=True) == SamplingDefaults()


def test_the_file_of_the_model_has_the_defaults(tmp_path):
    found = written(
        tmp_path,
        temperature=0.6,
        top_p=0.95,
        top_k=20,
        min_p=0.05,
        repetition_penalty=1.1,
        eos_token_id=2,
        max_new_tokens=99,
    )

    assert found == SamplingDefaults(
        source=FILE, temperature=0.6, top_p=0.95, top_k=20, min_p=0.05, repetition_penalty=1.1
    )


@pytest.mark.parametrize("top_k", [-1, 0])
def test_no_top_k_is_off(tmp_path, top_k):
    assert written(tmp_path, top_k=top_k).top_k == 0


def test_null_is_no_value(tmp_path):
    assert written(tmp_path, temperature=None, top_p=0.5).temperature == 1.0


@pytest.mark.parametrize(
    "wrong", [{"temperature": "hot"}, {"temperature": -1}, {"top_p": 2}, {"top_k": True}]
)
def test_a_wrong_value_is_reported_and_not_used(tmp_path, caplog, wrong):
    (name,) = wrong
    with caplog.at_level(logging.WARNING):
        found = written(tmp_path, **{"min_p": 0.25, **wrong})

    assert found == SamplingDefaults(source=FILE, min_p=0.25)
    assert f"{FILE}: {name}=" in caplog.text


@pytest.mark.parametrize("text", ["{", "[1]", '{"temperature": NaN}'])
def test_a_file_that_is_not_json_is_reported_and_not_used(tmp_path, caplog, text):
    (tmp_path / FILE).write_text(text)

    assert sampling_defaults("some/model", tmp_path) == SamplingDefaults()
    assert FILE in caplog.text


@pytest.mark.parametrize("model_id", [DEFAULT_MODEL, DEFAULT_HUB_ID])
def test_the_embedded_model_has_its_recommended_values(tmp_path, model_id):
    found = sampling_defaults(model_id, tmp_path)

    assert (found.source, found.temperature, found.top_p) == ("recommended", 0.2, 0.9)
    (tmp_path / FILE).write_text('{"top_p": 0.8}')
    assert sampling_defaults(model_id, tmp_path).temperature == 0.2


def test_given_parameters_replace_the_defaults_and_none_does_not():
    defaults = SamplingDefaults(temperature=0.6, top_k=20)

    assert defaults.params({"temperature": 0.0, "top_k": None, "seed": 3}) == SamplingParams(
        temperature=0.0, top_k=20, seed=3
    )


def test_a_loaded_model_has_its_defaults_or_openais(tmp_path):
    folder = write_tiny_folder(tmp_path / "tiny")
    (folder / FILE).write_text('{"temperature": 0.25}')

    assert load_model(str(folder)).info.sampling.temperature == 0.25
    openai = ModelOptions(sampling_defaults="openai")
    assert load_model(str(folder), openai).info.sampling == SamplingDefaults()
