"""Tiny GGUF files."""

import pytest
from gguf_files import keys_of, model_of, tensors_of, vocabulary, write_gguf


class Files:
    """Writes variations of one tiny file."""

    def __init__(self, folder):
        self.folder = folder
        self.tokenizer = vocabulary()
        self.vocab_size = self.tokenizer.get_vocab_size() + 2

    def model(self, architecture="llama", **fields):
        return model_of(architecture, self.vocab_size, **fields)

    def write(self, architecture="llama", *, model=None, keys=None, tensors=None, **options):
        """Write a file; a key or tensor that is given as `None` is left out."""
        made = self.model(architecture) if model is None else model
        all_keys = keys_of(architecture, self.tokenizer) | (keys or {})
        all_tensors = tensors_of(made, architecture) | (tensors or {})
        return write_gguf(
            self.folder / "tiny.gguf", _given(all_keys), _given(all_tensors), **options
        )


def _given(values):
    return {key: value for key, value in values.items() if value is not None}


@pytest.fixture(name="files")
def _files(tmp_path):
    return Files(tmp_path)
