"""Where models are looked for, and how they are downloaded."""

import shutil

import pytest
from concordance_inference.models import store
from concordance_inference.models.download import download_model, remove_model
from concordance_inference.models.loader import load_model, locate_model
from concordance_inference.models.places import local_model, present_folder
from concordance_inference.pool.spec import stored_models
from concordance_shared import ModelLoadError
from fake_hub import FakeHub
from tiny_folder import write_tiny_folder


@pytest.fixture(name="tiny", scope="module")
def _tiny(tmp_path_factory):
    return write_tiny_folder(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(name="home", autouse=True)
def _home(tmp_path, monkeypatch):
    """An empty home, and no hub."""
    monkeypatch.setenv("CONCORDANCE_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(store, "_LM_STUDIO", (str(tmp_path / "lmstudio"),))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path


@pytest.fixture(name="hub")
def _hub(tmp_path, tiny, monkeypatch):
    root = tmp_path / "served"
    shutil.copytree(tiny, root / "org" / "tiny")
    (root / "org" / "tiny" / "pytorch_model.bin").write_bytes(b"not needed")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with FakeHub(root) as hub:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
        monkeypatch.setattr(
            "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
            hub.url + "/{repo_id}/resolve/{revision}/{filename}",
        )
        yield hub


def put(tiny, root, name="org/tiny"):
    return shutil.copytree(tiny, root / name)


def put_in_hub_cache(tiny, root, name="org/tiny"):
    repo = root / f"models--{name.replace('/', '--')}"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("1" * 40)
    return shutil.copytree(tiny, repo / "snapshots" / ("1" * 40))


def test_the_store_comes_before_the_hubs_cache_and_this_before_lm_studio(tiny, home):
    lm_studio = put(tiny, home / "lmstudio")
    assert local_model("org/tiny") == lm_studio
    snapshot = put_in_hub_cache(tiny, home / "hub")
    assert local_model("org/tiny") == snapshot
    stored = put(tiny, home / "store")
    assert local_model("org/tiny") == stored


def test_a_folder_of_the_name_comes_first(tiny, home, monkeypatch):
    put(tiny, home / "store")
    put(tiny, home / "here")
    monkeypatch.chdir(home / "here")

    assert str(local_model("org/tiny")) == "org/tiny"


def test_an_incomplete_model_is_not_found(tiny, home):
    folder = put(tiny, home / "store")
    index = '{"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}'
    (folder / "model.safetensors.index.json").write_text(index)

    assert local_model("org/tiny") is None
    (folder / "model-2.safetensors").write_bytes(b"")
    assert local_model("org/tiny") == folder


def test_every_model_on_the_machine_can_be_served_without_naming_it(tiny, home):
    put(tiny, home / "store", "org/a")
    put_in_hub_cache(tiny, home / "hub", "org/b")
    put(tiny, home / "lmstudio", "org/a")
    put(tiny, home / "lmstudio", "org/c")

    assert [spec.name for spec in stored_models(())] == ["org/a", "org/b", "org/c"]
    assert [spec.place for spec in stored_models({"org/a"})] == ["org/b", "org/c"]


def test_the_only_gguf_file_of_a_folder_of_lm_studio_is_a_model(home):
    folder = home / "lmstudio" / "org" / "tiny-GGUF"
    folder.mkdir(parents=True)
    (folder / "tiny-Q4.gguf").write_bytes(b"")
    (folder / "mmproj-tiny.gguf").write_bytes(b"")

    assert local_model("org/tiny-GGUF") == folder / "tiny-Q4.gguf"
    assert list(store.lm_studio_names()) == ["org/tiny-GGUF"]
    assert present_folder("org/tiny-GGUF") is None  # it is not converted yet
    (folder / "tiny-Q8.gguf").write_bytes(b"")
    assert local_model("org/tiny-GGUF") is None


@pytest.mark.parametrize("name", ["../store", "org/..", "/etc/passwd", "a/b/c", ".hidden/x", "x"])
def test_a_name_leads_out_of_no_folder(home, name):
    assert store.stored_model(name) is None


def test_a_model_is_downloaded_with_progress_and_loaded_without_the_hub(hub, home):
    messages = []
    loaded = load_model("org/tiny", progress=messages.append)

    assert loaded.info.id == "org/tiny"
    assert local_model("org/tiny") == home / "store" / "org" / "tiny"
    assert any(message.startswith("downloading org/tiny: ") for message in messages)
    assert "pytorch_model.bin" not in hub.downloads
    assert list(store.stored_names()) == ["org/tiny"]
    hub.downloads.clear()
    locate_model("org/tiny")
    assert hub.downloads == []


def test_an_interrupted_download_is_continued(hub, home):
    hub.forbidden.add("model.safetensors")
    with pytest.raises(ModelLoadError, match="403"):
        locate_model("org/tiny")
    assert local_model("org/tiny") is None
    hub.forbidden.clear()
    hub.downloads.clear()

    assert download_model("org/tiny", progress=lambda _: None) == home / "store" / "org" / "tiny"
    assert "config.json" not in hub.downloads
    assert hub.downloads.count("model.safetensors") == 1


def test_a_model_that_is_not_on_the_hub_is_an_error_with_its_name(hub):
    with pytest.raises(
        ModelLoadError, match=r"(?s)'org/nosuch' cannot be found.*Repository Not Found"
    ):
        locate_model("org/nosuch")


def test_a_model_without_weights_for_mlx_is_refused(hub):
    (hub.root / "org" / "tiny" / "model.safetensors").unlink()

    with pytest.raises(ModelLoadError, match=r"no config.json or no model\*.safetensors"):
        download_model("org/tiny", progress=lambda _: None)
    assert list(store.stored_names()) == []


def test_a_download_without_a_network_is_an_error(home):
    with pytest.raises(ModelLoadError, match=r"'org/tiny' cannot be found"):
        locate_model("org/tiny")
    assert not (home / "store").exists()


def test_a_model_is_removed_from_the_store_and_the_hubs_cache(tiny, home):
    put(tiny, home / "store")
    put_in_hub_cache(tiny, home / "hub")

    assert remove_model("org/tiny") > 0
    assert local_model("org/tiny") is None
    with pytest.raises(ModelLoadError, match="neither in the store"):
        remove_model("org/tiny")
