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


def test_text_after_a_message_is_the_content_of_another_one():
    place = place_after("<|channel|>final<|message|>hi<|end|>more")
    assert (place.kind, place.salvaged, place.num_messages) == ("content", "more", 2)


def test_structural_tokens_written_as_text_are_content():
    place = place_after("<|channel|>final<|message|>")
    assert after_text(place, b"<|end|>", TOKENS) == place


def test_a_cut_header_has_no_message():
    for cut in ("", "<|channel|>", "<|channel|>fin", "<|channel|>final", "<|start|>assistant"):
        assert place_after(cut).kind == "header"
        assert not place_after(cut + "<|end|>").salvaged.strip("fin")
