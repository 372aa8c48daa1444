"""Loading files of mods that import `quote_mod_sdk`."""

import pytest
from concordance_inference.mods.loading import load_path


@pytest.fixture(name="load")
def _load(tmp_path):
    """Write a file of mods and load its first mod."""

    def load(source):
        (tmp_path / "older.py").write_text(source)
        definitions, _ = load_path(tmp_path / "older.py")
        return definitions[0]

    return load
