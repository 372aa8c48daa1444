"""What a request gives a chat template."""

import pytest
from concordance_inference.chat.given import Given
from concordance_shared import InvalidRequestError

GIVEN = Given(
    messages=[{"role": "user", "content": "a"}, {"role": "assistant", "content": " b"}],
    variables={"tools": [{"type": "function", "function": {"name": "f", "x": 1}}], "flag": True},
)


def test_its_texts_are_all_that_it_chooses_freely():
    assert [*GIVEN.texts()] == [
        *("role", "content", "a", "role", "content", " b"),
        *("tools", "type", "function", "name", "f", "x", "flag"),
    ]


def test_a_role_that_is_not_one_of_the_known_is_a_text():
    assert "<s>" in [*Given(messages=[{"role": "<s>"}], variables={}).texts()]


def test_texts_and_keys_are_changed_apart():
    changed = GIVEN.mapped(str.upper, lambda key: key + "!")

    assert changed.messages[0] == {"role!": "user", "content!": "A"}
    assert changed.variables["tools!"][0] == {
        "type!": "function",
        "function!": {"name!": "F", "x!": 1},
    }
    assert GIVEN.messages[0]["content"] == "a"


def test_a_text_is_cut_at_the_last_mark():
    given = Given(messages=GIVEN.messages, variables={}, end_mark="|")

    assert given.rendered_messages[-1]["content"] == " b|"
    assert given.cut("[a|][ b|]") == "[a|][ b"
    assert given.cut("[a][b|]") == "[a][b"
    assert GIVEN.cut("[a|]") == "[a|]"


@pytest.mark.parametrize("text", ["[a][ b]", "[a][B|]", "|", "b |"])
def test_a_last_message_that_is_not_there_is_refused(text):
    with pytest.raises(InvalidRequestError, match="changes or drops"):
        Given(messages=GIVEN.messages, variables={}, end_mark="|").cut(text)
