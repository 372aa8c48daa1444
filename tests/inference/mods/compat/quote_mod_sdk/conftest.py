"""Files of mods in the style of the older SDK."""

import pytest
from concordance_inference.mods.loading import load_path


@pytest.fixture(name="load")
def _load(tmp_path):
    """Write a file of mods and load the first that it defines."""

    def load(source):
        (tmp_path / "older.py").write_text(source)
        definitions, _ = load_path(tmp_path / "older.py")
        return definitions[0]

    return load
