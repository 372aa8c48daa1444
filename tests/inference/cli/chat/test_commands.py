import pytest
from concordance_inference.cli.chat.commands import COMMANDS, completions, run_command
from concordance_inference.cli.chat.profiles import Profiles, Prompt
from concordance_inference.cli.chat.screen import Screen
from concordance_inference.cli.chat.session import Session
from concordance_inference.cli.options import Chat
from concordance_shared import ConcordanceError, InvalidRequestError
from scripted_chat import CTRL_C, ScriptedModel, ScriptedReply

PROFILES = Profiles(
    profiles={"careful": {"temperature": 0.1, "mod": ["avoid"]}},
    prompts={"tutor": Prompt(system="Teach {topic}.", names={"topic": "Rust"})},
)


@pytest.fixture(name="chat")
def _chat(tmp_path):
    def make(*replies):
        model = ScriptedModel(*replies)
        options = Chat(conversations=tmp_path)
        session = Session(model, options, screen=Screen(is_terminal=False), profiles=PROFILES)
        session.begin()
        return session

    return make


@pytest.fixture(name="typed")
def _typed(capsys):
    """What lines print."""

    def typed(session, *lines):
        for line in lines:
            run_command(session, line) if line.startswith("/") else session.send(line)
        return capsys.readouterr().out

    return typed


def test_help_lists_every_command_and_the_keys(chat, typed):
    text = typed(chat(), "/help")

    for name, command in COMMANDS.items():
        assert f"/{name}" in text
        assert command.help in text
    assert "Ctrl-C stops a reply" in text


def test_help_explains_one_command(chat, typed):
    assert typed(chat(), "/help save") == (
        "/save [NAME]  Save the conversation, now and after every reply\n"
    )


def test_unknown_command_is_refused_with_the_nearest_one(chat):
    with pytest.raises(InvalidRequestError, match="no command /relod.*did you mean '/load'|/help"):
        run_command(chat(), "/relod")
    with pytest.raises(InvalidRequestError, match="did you mean '/system'"):
        run_command(chat(), "/sistem")
    with pytest.raises(InvalidRequestError, match="/help: there is no command /x"):
        run_command(chat(), "/help x")


def test_set_changes_a_setting_of_the_next_reply(chat, typed):
    session = chat()

    assert typed(session, "/set temperature 0.5", "Hi") == "temperature = 0.5\nok\n"
    assert session.model.options[0].temperature == 0.5
    assert typed(session, "/set temperature") == "temperature = 0.5\n"
    assert typed(session, "/set temperature default") == "temperature = default\n"


def test_set_lists_all_settings(chat, typed):
    lines = typed(chat(), "/set").splitlines()

    assert any(line.startswith("max_tokens") and "512" in line for line in lines)
    assert any(line.startswith("markdown") and "on" in line for line in lines)


def test_wrong_setting_is_refused(chat):
    for line in ("/set temprature", "/set temprature 1", "/set temperature hot"):
        with pytest.raises(InvalidRequestError, match="temperature"):
            run_command(chat(), line)


def test_model_is_shown_and_changed(chat, typed):
    session = chat()

    assert typed(session, "/model") == "scripted\n"
    assert typed(session, "/model another", "/model") == "another\n"
    with pytest.raises(ConcordanceError):
        run_command(session, "/model nosuch")


def test_mods_are_listed_and_chosen(chat, typed):
    session = chat()
    text = typed(session, "/mods 'avoid:words=[\"a b\"]' replace:find=x", "/mods")

    assert session.options.mod == ['avoid:words=["a b"]', "replace:find=x"]
    assert "* avoid    Avoid words\n" in text
    assert typed(session, "/mods none").endswith("mods: none\n")
    with pytest.raises(InvalidRequestError, match="quote"):
        run_command(session, "/mods 'a")


def test_system_message_is_shown_and_changed(chat, typed):
    session = chat()
    text = typed(session, "/system", "/system Be brief.", "Hi", "/system none", "again")

    assert text.splitlines()[:2] == ["system message: none", "system message: Be brief."]
    assert [asked[0] for asked in session.model.asked] == [("system", "Be brief."), ("user", "Hi")]


def test_prompt_and_profile_are_used(chat, typed):
    session = chat()
    text = typed(session, "/prompt", "/prompt tutor", "/profile", "/profile careful")

    assert "system message: Teach Rust." in text
    assert "there are: careful" in text
    assert (session.options.temperature, session.options.mod) == (0.1, ["avoid"])
    for line in ("/prompt tutr", "/profile carefull"):
        with pytest.raises(InvalidRequestError, match="did you mean"):
            run_command(session, line)


def test_undo_removes_a_message(chat, typed):
    session = chat()

    assert typed(session, "Hi", "/undo") == "ok\nremoved: Hi\n"
    assert session.conversation.messages == []
    with pytest.raises(InvalidRequestError, match="no message"):
        run_command(session, "/undo")


def test_retry_and_resume(chat, typed):
    session = chat(ScriptedReply(["a", CTRL_C]), "b", "c")

    assert typed(session, "Hi", "/resume", "/retry") == "a\nb\nc\n"
    assert [m.text for m in session.conversation.messages] == ["Hi", "c"]


def test_conversations_are_saved_listed_and_loaded(chat, typed, tmp_path):
    text = typed(chat(), "/list", "What is it?", "/save first one")
    assert f"no conversations in {tmp_path}" in text
    assert f"saved as {tmp_path / 'first one.json'}" in text
    session = chat()

    assert typed(session, "/list") == "first one  2 messages: What is it?\n"
    typed(session, "/load first one", "again")
    assert len(session.model.asked[0]) == 3
    with pytest.raises(ConcordanceError, match="did you mean 'first one'"):
        run_command(session, "/load first on")
    with pytest.raises(InvalidRequestError, match="/load NAME"):
        run_command(session, "/load")


def test_file_that_is_no_conversation_is_listed_with_its_error(chat, typed, tmp_path):
    (tmp_path / "bad.json").write_text("{")

    assert "bad  " in typed(chat(), "/list")


def test_resume_of_a_name_loads_and_continues(chat, typed):
    typed(chat(ScriptedReply(["a", CTRL_C])), "Hi", "/save cut")
    session = chat("b")
    typed(session, "/resume cut")

    assert session.conversation.messages[-1].text == "ab"


def test_reset_starts_again_and_quit_leaves(chat, typed):
    session = chat()
    typed(session, "Hi", "/reset", "/quit")

    assert session.conversation.messages == []
    assert session.is_over
    with pytest.raises(InvalidRequestError, match="/reset takes no argument"):
        run_command(session, "/reset now")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/re", ["/resume", "/retry", "/reset"]),
        ("/set temp", ["temperature"]),
        ("/set reasoning ", ["show", "hide", "default"]),
        ("/set markdown o", ["on", "off"]),
        ("/set zzz ", []),
        ("/model a", ["another"]),
        ("/mods avoid re", ["replace"]),
        ("/mods n", ["none"]),
        ("/prompt t", ["tutor"]),
        ("/profile ", ["careful"]),
        ("/help sy", ["system"]),
        ("/load ", []),
        ("/zzz ", []),
        ("re", []),
        ("/re\n", []),
    ],
)
def test_completions(chat, text, words):
    assert [word.text for word in completions(chat(), text)] == words


def test_completion_replaces_the_word_before_the_cursor(chat):
    (word,) = completions(chat(), "/set temp")

    assert (word.num_replaced, word.meaning) == (4, "default")


def test_server_that_does_not_respond_completes_nothing(chat):
    session = chat()
    session.model.model_names = lambda: (_ for _ in ()).throw(ConcordanceError("no server"))

    assert list(completions(session, "/model ")) == []
