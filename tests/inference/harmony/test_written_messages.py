import pytest
from concordance_inference.harmony.place import Header, Place
from concordance_inference.harmony.turn import HarmonyTurn
from concordance_inference.harmony.written_messages import written_messages
from harmony_bytes import IDS, TOKENIZER, TOKENS, named

FINAL = "<|channel|>final<|message|>"
RETURN, END, CALL = IDS["<|return|>"], IDS["<|end|>"], IDS["<|call|>"]


def messages_of(written, opened=None):
    turn = (
        HarmonyTurn(tokens=TOKENS) if opened is None else HarmonyTurn(tokens=TOKENS, opened=opened)
    )
    found = written_messages(named(written), turn, TOKENIZER.token_bytes)
    return [(m.header.channel, m.header.recipient, m.text, m.end) for m in found]


@pytest.mark.parametrize(
    ("written", "messages"),
    [
        (FINAL + "aé<|return|>", [("final", None, "aé", RETURN)]),
        (FINAL + "a", [("final", None, "a", None)]),
        (
            "<|channel|>analysis<|message|>a<|end|><|start|>assistant" + FINAL + "b",
            [("analysis", None, "a", END), ("final", None, "b", None)],
        ),
        (
            "<|channel|>analysis to=python code<|message|>1+1<|call|>",
            [("analysis", "python", "1+1", CALL)],
        ),
        ("I cannot.<|return|>", [(None, None, "I cannot.", RETURN)]),
        (FINAL + "a<|channel|>final", [("final", None, "a", IDS["<|channel|>"])]),
        (FINAL + "<|return|>", [("final", None, "", RETURN)]),
        ("<|channel|>fin", []),
    ],
)
def test_messages_are_found_with_their_ends(written, messages):
    assert messages_of(written) == messages


def test_a_message_that_the_prompt_begins_is_not_whole():
    opened = Place(kind="content", header=Header(channel="final"), num_messages=1)
    turn = HarmonyTurn(tokens=TOKENS, opened=opened)
    (first,) = written_messages(named("b<|return|>"), turn, TOKENIZER.token_bytes)
    assert (first.text, first.is_whole) == ("b", False)
