import json

import pytest
from concordance_inference.cli import keys
from concordance_inference.cli.options import ListKeys, NewKey, RevokeKeys
from concordance_inference.keys.key import digest_of
from concordance_inference.keys.key_file import UnknownKeyError, read_keys
from concordance_inference.keys.upload_key import made_upload_key
from concordance_shared import InvalidRequestError


@pytest.fixture(name="path")
def _path(tmp_path):
    return tmp_path / "keys.json"


@pytest.fixture(autouse=True)
def _state(tmp_path, monkeypatch):
    monkeypatch.setenv("CONCORDANCE_STATE", str(tmp_path))


def test_standard_output_has_the_new_key_and_nothing_else(path, capsys):
    keys.new(NewKey(role="infer", owner="ann", label="laptop", days=2))
    printed = capsys.readouterr()
    (key,) = read_keys(path)

    assert digest_of(printed.out.strip()) == key.digest
    assert printed.out.count("\n") == 1
    assert f"{key.id}: a key for infer, until 20" in printed.err
    assert printed.out.strip() not in printed.err
    assert (key.owner, key.label) == ("ann", "laptop")


def test_the_key_file_can_be_chosen(tmp_path, path):
    keys.new(NewKey(role="admin", key_file=tmp_path / "other.json"))

    assert not path.exists()
    assert [key.role for key in read_keys(tmp_path / "other.json")] == ["admin"]


@pytest.mark.parametrize("owner", ["", "Ann", "a b", "a@b", "x" * 65, "-a", "a\n"])
def test_an_owner_that_cannot_be_one_is_refused(path, owner):
    with pytest.raises(InvalidRequestError, match="--owner .* 1 to 64 of the characters"):
        keys.new(NewKey(role="infer", owner=owner))
    assert not path.exists()


@pytest.mark.parametrize("label", ["a\nb", "x" * 201, "\x1b[2J"])
def test_a_label_that_a_terminal_cannot_show_is_refused(label):
    with pytest.raises(InvalidRequestError, match="--label"):
        keys.new(NewKey(role="infer", label=label))


def test_keys_are_listed_without_their_digests(path, capsys):
    keys.new(NewKey(role="mods:write", owner="ann"))
    keys.new(NewKey(role="infer", days=0.001, label="short"))
    capsys.readouterr()

    keys.list_(ListKeys())
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    keys.list_(ListKeys(json=True))
    listed = json.loads(capsys.readouterr().out)

    assert [line[1:3] for line in lines] == [["mods:write", "ann"], ["infer", lines[1][0]]]
    assert lines[1][-1] == "short"
    assert [each["id"] for each in listed] == [key.id for key in read_keys(path)]
    assert listed[0]["scopes"] == ["infer", "mods:write"]
    assert "digest" not in listed[0]


def test_no_keys_are_listed_as_such(capsys):
    keys.list_(ListKeys())

    assert "`concordance keys new` makes one" in capsys.readouterr().err


def test_the_last_key_is_revoked_with_a_note_of_what_follows(path, capsys):
    keys.new(NewKey(role="infer"))
    (key,) = read_keys(path)

    keys.revoke(RevokeKeys(ids=[key.id]))

    assert read_keys(path) == []
    assert "takes requests without a key" in capsys.readouterr().err
    with pytest.raises(UnknownKeyError):
        keys.revoke(RevokeKeys(ids=[key.id]))


def test_the_upload_key_is_printed_once_a_server_has_made_it(capsys):
    with pytest.raises(InvalidRequestError, match="makes it when it is first started"):
        keys.upload()
    made = made_upload_key()

    keys.upload()

    assert capsys.readouterr().out == f"{made}\n"
