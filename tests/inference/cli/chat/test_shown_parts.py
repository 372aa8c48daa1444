import pytest
from concordance_inference.chat.message_parts import ContentText, ReasoningText
from concordance_inference.cli.chat.conversation_file import ReplyEntry
from concordance_inference.cli.chat.reply import Restated
from concordance_inference.cli.chat.reply_view import PlainView, TerminalView
from concordance_inference.cli.chat.shown_parts import ShownParts
from concordance_inference.cli.options import Chat
from terminal_screen import TerminalScreen


@pytest.fixture(name="screen")
def _screen():
    return TerminalScreen()


def parts_in(screen, **options):
    options = Chat(**options)
    view = TerminalView(options, screen.size, screen.write, has_colour=False)
    return ShownParts(view, options), view


def test_reply_is_shown_up_to_a_number_of_characters(screen):
    shown, view = parts_in(screen, truncate_thinking=2, truncate_response=5)
    for part in (ReasoningText("hmm"), ReasoningText("m"), ContentText("Hello"), ContentText("!")):
        shown.add(part)
    view.end()

    assert screen.text == "hm…\n\nHello…"


def test_resumed_reply_repeats_its_end_in_a_new_view(screen):
    shown, view = parts_in(screen)
    shown.resume(ReplyEntry(content="Hel"), repeats=True)
    shown.add(ContentText("lo"))
    view.end()

    assert screen.text == "Hello"


def test_text_that_was_generated_and_not_shown_is_in_the_repetition(screen):
    shown, view = parts_in(screen)
    shown.resume(ReplyEntry(content="Hel"), repeats=True)
    shown.add(Restated([ContentText("Hello")]))
    shown.add(ContentText(" there"))
    view.end()

    assert screen.text == "Hello there"


@pytest.mark.parametrize("view", ["terminal", "plain"])
def test_text_that_was_held_back_at_the_cut_is_shown_once(screen, view):
    shown, made = parts_in(screen)
    if view == "plain":
        made = PlainView(Chat(), screen.write)
        shown = ShownParts(made, Chat())
    shown.add(ContentText("a <"))
    shown.resume(ReplyEntry(content="a <"), repeats=False)
    shown.add(Restated([ContentText("a")]))
    shown.add(ContentText(" <b"))
    made.end()

    assert screen.text == "a <b"
