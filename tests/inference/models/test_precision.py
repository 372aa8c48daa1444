"""Float32 models compute in float32 unless the environment asks for TF32."""

import os

import pytest
from concordance_inference.models.loader import load_model
from concordance_inference.models.precision import VARIABLE, disable_tf32
from concordance_shared import ModelLoadError


def test_loading_a_model_disables_tf32(monkeypatch, tmp_path):
    monkeypatch.delenv(VARIABLE)

    with pytest.raises(ModelLoadError):
        load_model(str(tmp_path))

    assert os.environ[VARIABLE] == "0"


def test_the_environment_can_ask_for_tf32(monkeypatch):
    monkeypatch.setenv(VARIABLE, "1")
    disable_tf32()

    assert os.environ[VARIABLE] == "1"
