"""The size of a model is known without reading its weights, and is what loading it finds."""

import mlx.core as mx
import pytest
from concordance_inference.engine.model.calibration.profile import profile_of
from concordance_inference.models.loader import load_model
from concordance_inference.models.options import ModelOptions
from concordance_inference.models.sizes import model_size
from concordance_shared import ModelLoadError
from tiny_folder import write_tiny_folder


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory):
    return write_tiny_folder(tmp_path_factory.mktemp("models") / "tiny-llama")


def test_size_is_that_of_the_loaded_model(folder):
    size = model_size(folder, ModelOptions(context_length=77))
    loaded = load_model(str(folder), ModelOptions(context_length=77))

    assert size.weight_bytes == loaded.weight_bytes
    assert size.context_length == loaded.info.context_length == 77
    assert size.footprint == profile_of(loaded.model, measures_cost=False).footprint


def test_weights_are_not_read(folder):
    before = mx.get_active_memory()

    size = model_size(folder, ModelOptions())

    assert mx.get_active_memory() - before < size.weight_bytes


def test_damaged_model_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")

    with pytest.raises(ModelLoadError, match=r"the model in .* cannot be loaded"):
        model_size(tmp_path, ModelOptions())
