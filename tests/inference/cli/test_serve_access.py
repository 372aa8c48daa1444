import pytest
from concordance_inference.cli import serve_access
from concordance_inference.cli.options import Serve
from concordance_inference.cli.settings_file import SettingsError
from concordance_inference.keys.key import new_key
from concordance_inference.keys.key_file import add_key
from concordance_inference.keys.upload_key import found_upload_key


@pytest.fixture(name="path", autouse=True)
def _path(tmp_path, monkeypatch):
    monkeypatch.setenv("CONCORDANCE_STATE", str(tmp_path))
    return tmp_path / "keys.json"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_an_address_of_other_machines_needs_a_key(path, host):
    with pytest.raises(SettingsError, match="Make one with `concordance keys new admin`"):
        serve_access.keyring_of(Serve(host=host))

    add_key(path, new_key("infer")[0])
    assert serve_access.keyring_of(Serve(host=host)).num_valid == 1


def test_expired_keys_do_not_open_an_address_to_other_machines(path):
    add_key(path, new_key("infer", days=-1)[0])

    with pytest.raises(SettingsError, match="all keys have expired"):
        serve_access.keyring_of(Serve(host="0.0.0.0"))


def test_a_broken_file_of_keys_is_a_wrong_setting(path):
    path.write_text("{")

    with pytest.raises(SettingsError, match="no file of keys"):
        serve_access.keyring_of(Serve())


def test_the_first_start_without_keys_makes_the_upload_key(path):
    options = Serve(host="127.0.0.2")
    keyring = serve_access.keyring_of(options)

    access = serve_access.access_of(options, keyring)

    made = found_upload_key()
    assert "mods:write" in access.caller([made]).scopes
    assert "mods:write" not in access.caller([]).scopes
    assert made not in serve_access.described_access(keyring)
    assert str(path.parent) in serve_access.described_access(keyring)


def test_a_start_with_keys_makes_no_upload_key(path):
    _, secret = new_key("infer")
    add_key(path, new_key("infer")[0])
    keyring = serve_access.keyring_of(Serve())
    access = serve_access.access_of(Serve(), keyring)

    assert found_upload_key() is None
    assert access.caller([secret]) is None
    assert serve_access.described_access(keyring) == f"keys   1 in {path}"


def test_a_state_folder_that_cannot_be_made_leaves_the_server_without_uploads(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CONCORDANCE_STATE", str(tmp_path / "file" / "state"))
    options = Serve(key_file=tmp_path / "keys.json")
    access = serve_access.access_of(options, serve_access.keyring_of(options))

    assert "mods:write" not in access.caller(["anything"]).scopes
    assert "accepts none" in capsys.readouterr().err


@pytest.mark.parametrize(
    "origin",
    ["*", "example.com", "https://example.com/", "HTTPS://example.com", "null", "file:///a", ""],
)
def test_an_origin_that_browsers_do_not_send_is_refused(origin):
    with pytest.raises(SettingsError, match="is no origin"):
        serve_access.origins_of(Serve(cors_origins=[origin]))


def test_origins_and_hosts_are_those_that_are_named():
    options = Serve(
        cors_origins=["https://a.example", "http://[::1]:3000"], allowed_hosts=["llm.example"]
    )

    assert serve_access.origins_of(options) == {"https://a.example", "http://[::1]:3000"}
    assert serve_access.hosts_of(options, "0.0.0.0") == {"0.0.0.0", "llm.example"}


@pytest.mark.parametrize("host", ["*", "Example.com", "a:8000", "http://a", "a/b", ""])
def test_a_host_that_is_no_name_is_refused(host):
    with pytest.raises(SettingsError, match="is no name of a host"):
        serve_access.hosts_of(Serve(allowed_hosts=[host]), "127.0.0.1")
