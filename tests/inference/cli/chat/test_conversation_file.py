import json
import os
from pathlib import Path

import pytest
from concordance_inference.cli.chat import conversation_file
from concordance_inference.cli.chat.conversation_file import (
    ConversationFileError,
    ReplyEntry,
    SavedConversation,
    SettingsEntry,
    UserEntry,
    names_in,
    now,
    path_of,
    read,
    write,
)


def conversation(*entries):
    return SavedConversation(created=now(), updated=now(), entries=list(entries))


ENTRIES = (
    SettingsEntry(model="m", mods=("avoid",), system="Be brief.", hyperparameters={"seed": 1}),
    UserEntry(content="Hi\nthere", at=now()),
    ReplyEntry(content="Hello", reasoning="greet", finish="length"),
)


def test_written_conversation_is_read_again(tmp_path):
    saved = conversation(*ENTRIES)
    write(tmp_path / "new" / "a.json", saved)

    assert read(tmp_path / "new" / "a.json") == saved


def test_file_is_json_with_its_schema_and_version(tmp_path):
    write(tmp_path / "a.json", conversation(*ENTRIES))
    data = json.loads((tmp_path / "a.json").read_text())

    assert (data["schema"], data["version"]) == ("concordance.conversation", 1)
    assert [each["type"] for each in data["entries"]] == ["settings", "user", "assistant"]


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write(path, conversation())
    before = path.read_bytes()

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(conversation_file.os, "fsync", fail)
    with pytest.raises(ConversationFileError, match="No space left"):
        write(path, conversation(*ENTRIES))

    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


def test_conversation_is_readable_by_its_owner_only(tmp_path):
    write(tmp_path / "a.json", conversation())

    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", ["is not a saved conversation"]),
        ("[]", ["is not a saved conversation"]),
        ('{"a": 1}', ["`schema`", "concordance.conversation"]),
        ('{"schema": "concordance.conversation", "version": 2}', ["version 2", "upgrade"]),
        ('{"schema": "concordance.conversation", "version": 1}', ["created"]),
    ],
)
def test_other_file_is_refused_by_name(tmp_path, text, words):
    path = tmp_path / "a.json"
    path.write_text(text)

    with pytest.raises(ConversationFileError) as refused:
        read(path)

    for word in (str(path), *words):
        assert word in str(refused.value)


def test_unknown_name_is_refused_with_the_nearest_one(tmp_path):
    write(tmp_path / "rust questions.json", conversation())

    with pytest.raises(ConversationFileError, match="did you mean 'rust questions'"):
        read(tmp_path / "rust question.json")


def test_name_is_a_file_of_the_folder_and_a_path_is_itself():
    folder = Path("/somewhere")

    assert path_of(folder, "a b") == folder / "a b.json"
    assert path_of(folder, "./a") == Path("a")
    assert path_of(folder, "a.json") == Path("a.json")


@pytest.mark.parametrize("name", ["", " a", "..", "a?", "-a", "a ", "x" * 101])
def test_wrong_name_is_refused(name):
    with pytest.raises(ConversationFileError, match="not a name of a conversation"):
        path_of(Path(), name)


def test_last_changed_conversation_is_listed_first(tmp_path):
    for i, name in enumerate(["old", "new"]):
        write(tmp_path / f"{name}.json", conversation())
        os.utime(tmp_path / f"{name}.json", (i, i))
    (tmp_path / ".hidden.json").touch()

    assert names_in(tmp_path) == ["new", "old"]
    assert names_in(tmp_path / "nowhere") == []


def test_folder_needs_a_home(monkeypatch):
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(conversation_file.sys, "platform", "linux")
    monkeypatch.setattr(Path, "home", lambda: Path("~"))
    monkeypatch.setattr("os.path.expanduser", lambda path: path)

    with pytest.raises(ConversationFileError, match="--conversations"):
        conversation_file.default_folder()
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert conversation_file.default_folder() == Path("/data/concordance/conversations")
