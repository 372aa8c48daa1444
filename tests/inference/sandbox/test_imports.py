"""What uploaded mods may import."""

from pathlib import Path

from concordance_inference.sandbox.worker.imports import importable

PAGE = Path(__file__).parents[3] / "docs" / "isolation.md"


def test_page_of_uploaded_mods_lists_every_module_that_a_worker_imports():
    page = PAGE.read_text().partition("## Modules")[2].partition("\n## ")[0]

    assert [name for name in importable() if f"`{name}`" not in page] == []
    assert "json" in importable()
