"""`concordance models`: list, download, remove."""

import pytest
from concordance_inference.cli.main import app
from concordance_inference.models import store
from fake_hub import FakeHub
from tiny_folder import write_tiny_folder
from typer.testing import CliRunner


@pytest.fixture(name="run")
def _run(tmp_path, monkeypatch):
    """Run a command of `models` with an empty home and a hub that has org/tiny."""
    (tmp_path / "hub" / "org").mkdir(parents=True)
    write_tiny_folder(tmp_path / "hub" / "org" / "tiny")
    monkeypatch.setenv("CONCORDANCE_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(store, "_LM_STUDIO", (str(tmp_path / "lmstudio"),))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with FakeHub(tmp_path / "hub") as hub:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
        monkeypatch.setattr(
            "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
            hub.url + "/{repo_id}/resolve/{revision}/{filename}",
        )
        yield lambda *arguments: CliRunner().invoke(app, ["models", *arguments])


def test_a_model_is_downloaded_listed_and_removed(run, tmp_path):
    done = run("download", "org/tiny")

    assert done.exit_code == 0, done.output
    assert str(tmp_path / "store" / "org" / "tiny") in done.output
    for listed in (run(), run("list")):
        line = next(line for line in listed.output.splitlines() if "org/tiny" in line)
        assert "in the store" in line
    assert "removed org/tiny" in run("remove", "org/tiny").output
    assert "org/tiny" not in run("list").output


def test_models_of_lm_studio_are_listed(run, tmp_path):
    folder = tmp_path / "lmstudio" / "org"
    folder.mkdir(parents=True)
    write_tiny_folder(folder / "other")

    line = next(line for line in run().output.splitlines() if "org/other" in line)
    assert "in LM Studio's folder" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("download", "org/nosuch"), "Repository Not Found"),
        (("download", "tiny"), "OWNER/NAME"),
        (("remove", "org/nosuch"), "neither in the store"),
        (("remove", "../hub"), "neither in the store"),
    ],
)
def test_a_model_that_is_not_there_is_an_error(run, tmp_path, arguments, message):
    done = run(*arguments)

    assert message in str(done.exception)
    assert (tmp_path / "hub" / "org" / "tiny").is_dir()
