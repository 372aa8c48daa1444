import json
import os
import threading

import pytest
from concordance_inference.keys import private_file
from concordance_inference.keys.key import new_key
from concordance_inference.keys.key_file import (
    KeyFileError,
    UnknownKeyError,
    add_key,
    read_keys,
    revoke_keys,
)


@pytest.fixture(name="path")
def _path(tmp_path):
    return tmp_path / "state" / "keys.json"


def test_a_file_that_does_not_exist_has_no_keys(path):
    assert read_keys(path) == []


def test_keys_are_kept_in_a_file_that_only_its_owner_reads(path):
    key, secret = new_key("infer", owner="ann", label="laptop")
    add_key(path, key)

    assert read_keys(path) == [key]
    assert path.stat().st_mode & 0o777 == 0o600
    assert secret not in path.read_text()
    assert secret[9:] not in path.read_text()


def test_a_revoked_key_is_gone_and_others_are_left(path):
    (first, _), (second, _) = new_key("infer"), new_key("admin")
    add_key(path, first)
    add_key(path, second)

    assert revoke_keys(path, [first.id]) == [second]
    assert read_keys(path) == [second]


def test_an_unknown_id_revokes_nothing(path):
    key, _ = new_key("infer")
    add_key(path, key)

    with pytest.raises(UnknownKeyError, match="no key 'k0'"):
        revoke_keys(path, [key.id, "k0"])
    assert read_keys(path) == [key]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_file_that_cannot_be_written_keeps_its_keys(path, monkeypatch, step):
    key, _ = new_key("infer")
    add_key(path, key)
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    if step == "fsync":
        monkeypatch.setattr(private_file.os, "fsync", fail)
    else:
        monkeypatch.setattr(private_file.Path, "replace", fail)
    with pytest.raises(KeyFileError, match="cannot be written: No space left on device"):
        add_key(path, new_key("admin")[0])

    assert path.read_bytes() == before
    assert sorted(each.name for each in path.parent.iterdir()) == [".keys.json.lock", "keys.json"]


def test_keys_that_are_added_at_the_same_time_are_all_kept(path):
    keys = [new_key("infer")[0] for _ in range(8)]
    threads = [threading.Thread(target=add_key, args=(path, key)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {key.id for key in read_keys(path)} == {key.id for key in keys}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no file of keys"),
        ("[]", "is no file of keys"),
        ('{"version": 1, "keys": [{"id": "k1"}]}', "is no file of keys"),
        ('{"version": 9, "keys": []}', "has the version 9"),
        (b"\xff", "is no file of keys"),
    ],
)
def test_a_file_that_is_none_of_keys_is_refused(path, text, message):
    path.parent.mkdir()
    path.write_bytes(text if isinstance(text, bytes) else text.encode())

    with pytest.raises(KeyFileError, match=message):
        read_keys(path)


@pytest.mark.parametrize(
    "change",
    [
        {"role": "root"},
        {"owner": "a@b"},
        {"owner": ""},
        {"digest": "0"},
        {"id": "A b"},
        {"surprise": 1},
    ],
)
def test_a_key_with_a_field_that_is_wrong_is_refused(path, change):
    add_key(path, new_key("infer")[0])
    contents = json.loads(path.read_text())
    contents["keys"][0] |= change
    path.write_text(json.dumps(contents))

    with pytest.raises(KeyFileError):
        read_keys(path)


def test_a_file_that_others_may_change_is_refused_with_the_command_that_helps(path):
    add_key(path, new_key("infer")[0])
    path.chmod(0o622)

    with pytest.raises(KeyFileError, match=f"run `chmod 600 {path}`"):
        read_keys(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_cannot_be_read_is_an_error_and_not_empty(path):
    add_key(path, new_key("infer")[0])
    path.chmod(0)

    with pytest.raises(KeyFileError, match="cannot be read"):
        read_keys(path)
