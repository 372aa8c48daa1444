from concordance_inference.cli.chat.conversation import Conversation, first_words
from concordance_inference.cli.chat.conversation_file import ReplyEntry, SettingsEntry, UserEntry

SETTINGS = SettingsEntry(model="m")


def types_of(conversation):
    return [type(each).__name__ for each in conversation.entries]


def test_messages_begin_with_the_system_message():
    conversation = Conversation("Be brief.")
    conversation.add_user("Hi", SETTINGS)
    conversation.add_reply(ReplyEntry(content="Hello", reasoning="greet"))

    assert [(m.role, m.text) for m in conversation.messages] == [
        ("system", "Be brief."),
        ("user", "Hi"),
        ("assistant", "Hello"),
    ]
    assert conversation.messages[-1].reasoning_content == "greet"


def test_settings_are_recorded_when_they_change():
    conversation = Conversation()
    for seed in (1, 1, 2):
        settings = SettingsEntry(model="m", hyperparameters={"seed": seed})
        conversation.add_user("Hi", settings)
        conversation.add_reply(ReplyEntry(content="Hello"))

    seeds = [
        e.hyperparameters["seed"] for e in conversation.entries if isinstance(e, SettingsEntry)
    ]
    assert seeds == [1, 2]


def test_settings_of_a_resumption_precede_the_reply():
    conversation = Conversation()
    conversation.add_user("Hi", SETTINGS)
    conversation.add_reply(ReplyEntry(content="Hel", finish="length"))
    conversation.record(SettingsEntry(model="other"))

    assert types_of(conversation) == ["SettingsEntry", "UserEntry", "SettingsEntry", "ReplyEntry"]
    assert conversation.is_cut


def test_resumed_reply_replaces_the_cut_one():
    conversation = Conversation()
    conversation.add_user("Hi", SETTINGS)
    conversation.add_reply(ReplyEntry(content="Hel", finish="length"))
    conversation.add_reply(ReplyEntry(content="Hello"))

    assert conversation.reply.content == "Hello"
    assert not conversation.is_cut
    assert conversation.num_messages == 2


def test_undo_removes_the_last_message_and_its_reply():
    conversation = Conversation()
    for text in ("one", "two"):
        conversation.add_user(text, SETTINGS)
        conversation.add_reply(ReplyEntry(content=text))

    assert conversation.undo() == "two"
    assert conversation.messages[-1].text == "one"
    assert conversation.undo() == "one"
    assert conversation.undo() is None
    assert conversation.messages == []


def test_saved_conversation_is_loaded_with_its_system_message(tmp_path):
    conversation = Conversation("Be brief.")
    conversation.path = tmp_path / "a.json"
    conversation.add_user("Hi", SettingsEntry(model="m", system="Be brief."))
    conversation.save()

    loaded = Conversation.load(tmp_path / "a.json")

    assert loaded.messages == conversation.messages
    assert loaded.path == conversation.path


def test_first_words_are_one_short_line():
    entries = [SETTINGS, UserEntry(content="a\nb  c"), UserEntry(content="d")]

    assert first_words(entries) == "a b c"
    assert first_words([UserEntry(content="x" * 99)], 5) == "xxxx…"
    assert first_words([]) == ""
