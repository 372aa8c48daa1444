import json

import pytest
from concordance_inference.chat.message_parts import ContentText, ReasoningText
from concordance_inference.cli.chat.conversation_file import ConversationFileError
from concordance_inference.cli.chat.reply import ReplyEnd
from concordance_inference.cli.chat.screen import Screen
from concordance_inference.cli.chat.session import AUTO_RESUME, Session
from concordance_inference.cli.options import Chat
from concordance_shared import ConcordanceError, InvalidRequestError, ModReport
from scripted_chat import CTRL_C, ScriptedModel, ScriptedReply, cut, thinks


@pytest.fixture(name="session")
def _session(tmp_path):
    def make(*replies, is_terminal=False, **options):
        model = ScriptedModel(*replies)
        options = Chat(conversations=tmp_path / "saved", **options)
        session = Session(model, options, screen=Screen(is_terminal=is_terminal))
        session.begin()
        return session

    return make


def texts(session):
    return [(message.role, message.text) for message in session.conversation.messages]


def test_reply_is_printed_and_kept(session, capsys):
    chat = session("Hello", "Bye", system="Be brief.")
    chat.send("Hi")
    chat.send("So long")

    assert capsys.readouterr().out == "Hello\nBye\n"
    assert chat.model.asked[1] == [
        ("system", "Be brief."),
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "So long"),
    ]


def test_reasoning_is_kept_apart(session, capsys):
    chat = session(thinks("hmm", "4"))
    chat.send("2+2?")

    assert capsys.readouterr().out == "4\n"
    assert chat.conversation.messages[-1].reasoning_content == "hmm"


def test_ctrl_c_keeps_what_was_generated(session, capsys):
    chat = session(ScriptedReply(["Hel", CTRL_C, "lo"]))
    chat.send("Hi")

    assert capsys.readouterr().out == "Hel\n"
    assert texts(chat)[-1] == ("assistant", "Hel")
    assert chat.conversation.reply.finish == "interrupted"


def test_resume_continues_a_stopped_reply(session, capsys):
    chat = session(ScriptedReply(["Hel", CTRL_C]), "lo")
    chat.send("Hi")
    chat.resume()

    assert capsys.readouterr().out == "Hel\nlo\n"
    assert texts(chat) == [("user", "Hi"), ("assistant", "Hello")]
    assert chat.model.resumed == [[ContentText("Hel")]]
    assert (chat.conversation.reply.finish, chat.conversation.reply.resumed) == ("stop", 1)


def test_reply_stopped_before_its_first_token_is_generated_by_resume(session):
    chat = session(ScriptedReply([CTRL_C]), "Hello")
    chat.send("Hi")
    chat.resume()

    assert chat.model.asked[1] == [("user", "Hi")]
    assert texts(chat)[-1] == ("assistant", "Hello")


def test_reply_cut_in_a_header_is_resumed_although_it_has_no_text(session):
    chat = session(cut(ContentText("")), "Hello")
    chat.send("Hi")
    chat.resume()

    assert chat.model.resumed == [[ContentText("")]]
    assert texts(chat)[-1] == ("assistant", "Hello")


def test_complete_reply_is_not_resumed(session):
    chat = session("Hello")
    with pytest.raises(InvalidRequestError, match="nothing to resume"):
        chat.resume()
    chat.send("Hi")
    with pytest.raises(InvalidRequestError, match="/retry"):
        chat.resume()


def test_cut_reply_is_resumed_by_itself_up_to_a_number_of_times(session, capsys):
    chat = session(cut("a"), cut("b"), cut("c"), cut("d"), auto_resume=2)
    chat.send("Hi")

    assert capsys.readouterr().out == "abc\n"
    assert texts(chat)[-1] == ("assistant", "abc")
    assert chat.conversation.reply.finish == "length"


def test_cut_reply_is_resumed_by_itself_in_a_terminal_only(session):
    for is_terminal, expected in ((False, 1), (True, 1 + AUTO_RESUME)):
        chat = session(*[cut("a") for _ in range(9)], is_terminal=is_terminal)
        chat.send("Hi")
        assert len(chat.model.asked) == expected


def test_stopped_resumption_is_not_resumed_by_itself(session):
    chat = session(cut("a"), ScriptedReply(["b", CTRL_C]), "c", auto_resume=5)
    chat.send("Hi")

    assert texts(chat)[-1] == ("assistant", "ab")


def test_reply_resumed_in_its_reasoning_is_read_as_one(session):
    first = ScriptedReply([ReasoningText("a"), ContentText("</thi")], finish="length")
    chat = session(first, ScriptedReply([ContentText("4")]), auto_resume=1)
    chat.model.resume = lambda messages, options, before: ScriptedReply(
        ["4"], before=[ReasoningText("a")]
    )
    chat.send("Hi")

    reply = chat.conversation.reply
    assert (reply.reasoning, reply.content) == ("a", "4")


def test_failed_message_is_not_kept_and_retry_sends_it_again(session):
    chat = session(ScriptedReply(["Hel", ConcordanceError("broken")]), "Hello")
    with pytest.raises(ConcordanceError, match="broken"):
        chat.send("Hi")
    assert texts(chat) == []
    chat.retry()

    assert texts(chat) == [("user", "Hi"), ("assistant", "Hello")]


def test_reports_of_a_failed_reply_are_shown(session, capsys):
    error = ConcordanceError("broken")
    error.reports = (ModReport(mod="m", step=1, data={"a": 1}),)
    with pytest.raises(ConcordanceError):
        session(ScriptedReply([error])).send("Hi")

    assert 'reported 1 m {"a":1}' in capsys.readouterr().out


def test_retry_replaces_the_reply_and_restores_it_if_it_fails(session):
    chat = session("one", "two", ScriptedReply([ConcordanceError("broken")]))
    chat.send("Hi")
    chat.retry()
    assert texts(chat) == [("user", "Hi"), ("assistant", "two")]
    with pytest.raises(ConcordanceError):
        chat.retry()

    assert texts(chat) == [("user", "Hi"), ("assistant", "two")]


def test_retry_without_a_message_is_refused(session):
    with pytest.raises(InvalidRequestError, match="no message was sent"):
        session().retry()


def test_saved_conversation_is_saved_again_after_every_reply(session):
    chat = session("one", "two")
    chat.send("Hi")
    path = chat.save("greetings")
    chat.send("again")

    entries = json.loads(path.read_text())["entries"]
    assert [each["type"] for each in entries] == ["settings", *["user", "assistant"] * 2]
    assert entries[0]["model"] == "scripted"


def test_conversations_without_a_name_are_numbered(session):
    paths = []
    for _ in range(2):
        chat = session("one", autosave=True)
        chat.send("Hi")
        paths.append(chat.conversation.path)

    assert len({*paths}) == 2
    assert [path.stem[-2:] for path in paths] == [" 1", " 2"]


def test_loaded_conversation_continues_with_its_settings_and_another_model(session, capsys):
    first = session("Hello", system="Be brief.", temperature=0.5, mod=["avoid"])
    first.send("Hi")
    first.save("a")
    second = session("Bye", is_terminal=True)
    second.model.id = "another"
    second.load("a")
    second.send("So long")

    assert second.model.asked == [
        [("system", "Be brief."), *[("user", "Hi"), ("assistant", "Hello"), ("user", "So long")]]
    ]
    assert (second.options.temperature, second.options.mod) == (0.5, ["avoid"])
    assert "it was with scripted, and continues with another" in capsys.readouterr().out
    models = [e.model for e in second.conversation.entries if hasattr(e, "model")]
    assert models == ["scripted", "another"]


def test_loaded_cut_reply_is_resumed_from_its_text(session):
    first = session(cut("Hel"))
    first.send("Hi")
    first.save("a")
    second = session("lo")
    second.load("a")
    second.resume()

    assert texts(second)[-1] == ("assistant", "Hello")
    assert second.model.resumed == [None]


def test_wrong_name_leaves_the_conversation(session):
    chat = session("Hello")
    chat.send("Hi")
    with pytest.raises(ConversationFileError, match="there is no conversation"):
        chat.load("nowhere")

    assert texts(chat)[-1] == ("assistant", "Hello")


def test_mods_that_cannot_be_used_change_nothing(session):
    chat = session(mod=["avoid"])
    with pytest.raises(InvalidRequestError):
        chat.set_mods(["nosuch"])
    assert chat.options.mod == ["avoid"]
    chat.set_mods(["replace:find=a"])

    assert chat.options.mod == ["replace:find=a"]


def test_speed_is_shown_in_a_terminal(session, capsys):
    for stats in (True, False):
        session("a", is_terminal=True, stats=stats, markdown=False).send("Hi")

        assert ("s to the first token" in capsys.readouterr().out) == stats


def test_messages_that_no_longer_fit_are_noted(session, capsys, monkeypatch):
    end = ReplyEnd(finish="stop", truncated_messages=6)
    monkeypatch.setattr(ScriptedReply, "_end", lambda self, finish: end)
    session("a", is_terminal=True, markdown=False).send("Hi")
    assert "the oldest 6 messages no longer fit" in capsys.readouterr().out
