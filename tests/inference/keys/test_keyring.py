import pytest
from concordance_inference.keys.key import new_key
from concordance_inference.keys.key_file import KeyFileError, add_key, revoke_keys
from concordance_inference.keys.keyring import Keyring


@pytest.fixture(name="path")
def _path(tmp_path):
    return tmp_path / "keys.json"


def test_a_key_is_found_by_its_secret_only(path):
    key, secret = new_key("infer")
    add_key(path, key)
    keyring = Keyring(path)

    assert keyring.find(secret) == key
    for other in ("", key.id, key.digest, secret[:-1], secret + "a", new_key("infer")[1]):
        assert keyring.find(other) is None


def test_a_key_that_is_made_later_is_found_without_a_restart(path):
    keyring = Keyring(path)
    assert not keyring.is_needed

    key, secret = new_key("infer")
    add_key(path, key)

    assert keyring.find(secret) == key
    assert keyring.is_needed


def test_a_revoked_key_is_not_found_any_more(path):
    (key, secret), (other, other_secret) = new_key("infer"), new_key("infer")
    add_key(path, key)
    add_key(path, other)
    keyring = Keyring(path)
    assert keyring.find(secret)

    revoke_keys(path, [key.id])

    assert keyring.find(secret) is None
    assert keyring.find(other_secret) == other


def test_a_keyring_whose_last_key_is_revoked_still_needs_one(path):
    key, secret = new_key("infer")
    add_key(path, key)
    keyring = Keyring(path)
    assert keyring.find(secret)

    revoke_keys(path, [key.id])

    assert keyring.is_needed
    assert keyring.num_valid == 0
    path.unlink()
    assert keyring.is_needed


def test_an_expired_key_is_not_found_and_does_not_count(path):
    key, secret = new_key("infer", days=-1)
    add_key(path, key)
    keyring = Keyring(path)

    assert keyring.find(secret) is None
    assert (keyring.num_valid, keyring.is_needed) == (0, True)


@pytest.mark.parametrize("had_keys", [False, True])
def test_a_file_that_breaks_while_the_server_runs_lets_no_caller_in(path, had_keys, caplog):
    secret = "none"
    if had_keys:
        key, secret = new_key("infer")
        add_key(path, key)
    keyring = Keyring(path)

    path.write_text("{")

    assert keyring.find(secret) is None
    assert keyring.is_needed
    assert "no key is accepted until it is repaired" in caplog.text


def test_a_file_that_is_broken_at_the_start_is_an_error(path):
    path.write_text("{")

    with pytest.raises(KeyFileError):
        Keyring(path)
