import re

import o200k
import pytest
from concordance_inference.harmony.place import START, after_text, after_token
from concordance_inference.harmony.vocabulary import harmony_tokens

TOKENS = harmony_tokens({name: token_id for token_id, name in o200k.SPECIAL.items()})
IDS = {name: token_id for token_id, name in o200k.SPECIAL.items()}


def place_after(written):
    """The place after a completion in which structural tokens are written by name."""
    place = START
    for piece in re.split(r"(<\|\w+\|>)", written):
        if piece in IDS:
            place = after_token(place, IDS[piece], TOKENS)
        else:
            place = after_text(place, piece.encode(), TOKENS)
    return place


@pytest.mark.parametrize(
    ("written", "channel", "recipient", "content_type"),
    [
        ("<|channel|>final<|message|>", "final", None, None),
        ("<|channel|>commentary to=functions.f <|constrain|>json<|message|>",
         "commentary", "functions.f", "json"),
        (" to=functions.f<|channel|>commentary json<|message|>",
         "commentary", "functions.f", "json"),
        ("<|channel|>commentary to=functions.f<|constrain|>json<|message|>",
         "commentary", "functions.f", "json"),
        ("<|channel|>commentary to= functions.f code<|message|>",
         "commentary", "functions.f", "code"),
        ("<|channel|>final <|constrain|>json<|message|>", "final", None, "json"),
        ("<|channel|>final json<|message|>", "final", None, "json"),
        ("<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>",
         "final", None, None),
        ("<|start|>assistant<|channel|>final<|message|>", "final", None, None),
        ("<|start|>assistantassistant<|channel|>final<|message|>", "final", None, None),
        ("<|start|>assistantfinal<|message|>", "final", None, None),
        ("<|start|>assistant analysis<|message|>", "analysis", None, None),
        ("<|start|><|start|>assistant<|channel|>final<|message|>", "final", None, None),
        ("<|channel|>commentaryto=functions.f<|message|>", "commentary", "functions.f", None),
        ("<|message|>", None, None, None),
        ("<|channel|><|message|>", None, None, None),
    ],
)  # fmt: skip
def test_headers_in_every_order(written, channel, recipient, content_type):
    place = place_after(written)
    assert place.kind == "content"
    header = place.header
    assert (header.role, header.channel) == ("assistant", channel)
    assert (header.recipient, header.content_type) == (recipient, content_type)


def test_a_message_ends_at_a_closing_token_and_at_the_header_of_the_next():
    assert place_after("<|channel|>final<|message|>hi<|end|>").kind == "between"
    assert place_after("<|channel|>analysis<|message|>hi<|start|>").kind == "header"
    assert place_after("<|channel|>analysis<|message|>hi<|channel|>final").kind == "header"


def test_the_words_of_a_header_without_a_message_are_salvaged():
    place = place_after("I cannot help with that<|return|>")
    assert (place.kind, place.salvaged) == ("between", "I cannot help with that")
    assert place_after("<|channel|>final" + "word " * 200).salvaged.startswith("word word")


def test_salvaged_text_is_as_the_model_wrote_it():
    place = place_after("Sorry,\n\n1. no  way \n<|end|>")
    assert place.salvaged == "Sorry,\n\n1. no  way \n"


@pytest.mark.parametrize(
    ("written", "channel", "text"),
    [
        ("<|channel|>final Hello there<|return|>", "final", "Hello there"),
        ("<|channel|>finalHello there<|return|>", "final", "Hello there"),
        ("<|channel|>analysis hm<|end|>", "analysis", "hm"),
        ("<|channel|>commentary to=functions.f <|constrain|>json{}<|call|>", "commentary", ""),
        ("<|start|>assistantassistant Hi<|return|>", None, "Hi"),
        ("<|start|>Hi you<|return|>", None, "Hi you"),
    ],
)
def test_what_is_salvaged_has_the_channel_of_its_header(written, channel, text):
    place = place_after(written)
    assert place.salvaged == text
    assert place.header.channel == (channel if text else None)


def test_a_message_of_another_author_keeps_its_author():
    assert place_after("<|end|><|start|>user<|message|>hi").header.is_of_other
    assert place_after("<|start|>functions.f to=assistant<|message|>hi").header.is_of_other
    assert place_after("<|start|>user hi<|end|>").header.is_of_other
    assert not place_after("<|start|>banana<|message|>hi").header.is_of_other


def test_text_after_a_message_is_a_header_or_the_content_of_another_one():
    before = "<|channel|>final<|message|>hi<|end|>"
    place = place_after(before + "more\n<|end|>")
    assert (place.kind, place.salvaged, place.num_messages) == ("between", "more\n", 2)
    place = place_after(before + "\nassistant<|channel|>final<|message|>")
    assert (place.kind, place.header.channel, place.num_messages) == ("content", "final", 2)


def test_structural_tokens_written_as_text_are_content():
    place = place_after("<|channel|>final<|message|>")
    assert after_text(place, b"<|end|>", TOKENS) == place


def test_a_cut_header_has_no_message():
    for cut in ("", "<|channel|>", "<|channel|>fin", "<|channel|>final", "<|start|>assistant"):
        assert place_after(cut).kind == "header"
        assert not place_after(cut + "<|end|>").salvaged.strip("fin")
