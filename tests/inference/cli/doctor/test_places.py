"""Places: the settings, the cache folder, the hub, the address, the mods."""

import socket

import pytest
from concordance_inference.cli.doctor import places
from concordance_inference.cli.doctor.finding import findings
from concordance_inference.cli.options import Doctor


def checked(check, **options):
    (found,) = findings(check, Doctor(**options))
    return found


def test_settings_in_force_are_listed_with_their_sources(tmp_path, monkeypatch):
    monkeypatch.setenv("CONCORDANCE_PORT", "9")
    path = tmp_path / "x.toml"
    path.write_text("max_rows = 2")

    found = checked(places.settings, config_file=path)

    assert found.data["used"] == {"port": "CONCORDANCE_PORT", "max_rows": f"{path}:1"}


def test_cache_folder_with_its_free_space(tmp_path, monkeypatch):
    monkeypatch.setenv("CONCORDANCE_CACHE", str(tmp_path / "new" / "cache"))

    found = checked(places.cache)

    assert (found.status, found.data["writable"]) == ("ok", True)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("model", "status"), [(None, "problem"), ("org/model", "note")])
def test_cache_folder_that_cannot_be_written_stops_conversions_only(
    model, status, tmp_path, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CONCORDANCE_CACHE", str(tmp_path / "file" / "cache"))

    found = checked(places.cache, model=[model] if model else [])

    assert (found.status, "CONCORDANCE_CACHE" in found.text) == (status, True)


@pytest.mark.parametrize(("model", "status"), [([], "note"), (["big=org/model"], "problem")])
def test_store_that_cannot_be_written_stops_downloads_only(model, status, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CONCORDANCE_STORE", str(tmp_path / "file" / "store"))

    found = checked(places.store, model=model)

    assert (found.status, "CONCORDANCE_STORE" in found.text) == (status, True)


def test_full_disk_is_a_note(monkeypatch):
    monkeypatch.setattr(places, "_ROOM", float("inf"))

    assert checked(places.cache).status == "note"


def test_token_of_the_hub_is_not_shown(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_sesame")

    found = checked(places.hub)

    assert found.data["has_token"] is True
    assert "sesame" not in str(found)


def test_free_port_is_ok_and_one_in_use_is_a_problem(monkeypatch):
    monkeypatch.setattr(places, "_TIMEOUT_S", 0.1)
    assert checked(places.address, port=0).status == "ok"
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        found = checked(places.address, port=other.getsockname()[1])
    assert (found.status, "choose another --port" in found.text) == ("problem", True)


def test_server_that_runs_already_is_named(monkeypatch):
    monkeypatch.setattr(places.ServerClient, "model", lambda _: "tiny")

    assert places._running("::1", 1) == ". A Concordance server with the model tiny listens there"


def test_public_address_is_a_problem():
    assert "not a loopback address" in checked(places.address, host="0.0.0.0").text


def test_mods_are_loaded(tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("raise ValueError('no')")

    assert "greeting" in checked(places.mods).data["names"]
    found = checked(places.mods, mods=[broken])
    assert (found.status, "broken.py" in found.text) == ("problem", True)
