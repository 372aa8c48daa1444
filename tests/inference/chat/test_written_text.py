"""Text that knows which of its characters a template wrote."""

import pytest
from concordance_inference.chat.written_text import WrittenText, joined, own_runs, written
from hypothesis import given
from hypothesis import strategies as st

LETTERS = st.text(st.sampled_from("aB <>\n"), max_size=12)


@st.composite
def texts(draw):
    """A text with a random part of it from the template."""
    text = draw(LETTERS)
    return WrittenText(text, "".join(draw(st.sampled_from("01")) for _ in text))


#: Operations on a text that keep each character's author.
OPERATIONS = {
    "strip": lambda t: [t.strip()],
    "lstrip": lambda t: [t.lstrip("a<")],
    "rstrip": lambda t: [t.rstrip("\n ")],
    "split": lambda t: t.split(),
    "split_once": lambda t: t.split(None, 1),
    "split_at": lambda t: t.split("<"),
    "rsplit": lambda t: t.rsplit(None, 2),
    "rsplit_at": lambda t: t.rsplit("a", 1),
    "slice": lambda t: [t[1:-1], t[::-1], t[:3]],
    "characters": list,
    "lower": lambda t: [t.lower()],
    "upper": lambda t: [t.upper()],
    "title": lambda t: [t.title()],
    "capitalize": lambda t: [t.capitalize()],
    "removeprefix": lambda t: [t.removeprefix("a"), t.removesuffix("a")],
    "str": lambda t: [str(t)],
    "add": lambda t: [t + "x", "x" + t, t + t],
    "replace": lambda t: [t.replace("a", "xyz"), t.replace("<", "", 1)],
    "join": lambda t: [t.join(["x", "y"]), t.join([])],
}


@pytest.mark.parametrize("name", OPERATIONS)
@given(text=texts())
def test_an_operation_has_the_text_that_a_plain_one_has(name, text):
    plain = "".join(map(str.__str__, str.__iter__(text)))

    assert [*OPERATIONS[name](text)] == [*OPERATIONS[name](plain)]


KEEPING = sorted(
    OPERATIONS.keys() - {"add", "replace", "join", "lower", "upper", "title", "capitalize"}
)


@pytest.mark.parametrize("name", KEEPING)
@given(text=st.text(st.sampled_from("a< \nXY>\t\r"), max_size=12))
def test_an_operation_keeps_who_wrote_each_character(name, text):
    own = "XY>\t\r"  # the rest is the request's
    for part in OPERATIONS[name](WrittenText(text, flags_of(text, own))):
        assert part.flags == flags_of(part, own)


def flags_of(text, own):
    return "".join("1" if char in own else "0" for char in text)


@given(first=texts(), second=LETTERS)
def test_joined_texts_keep_who_wrote_each_character(first, second):
    assert (first + second).flags == first.flags + "0" * len(second)
    assert (second + first).flags == "0" * len(second) + first.flags
    assert joined([first, second, first]).flags == first.flags + "0" * len(second) + first.flags


def test_a_replaced_text_keeps_who_wrote_the_rest():
    text = WrittenText("ab", "01") + written("<")

    assert text.replace("b", written("XY")).flags == "0111"
    assert text.replace("b", "XY").flags == "0001"
    assert text.replace("", "-").flags == "0" * 7


def test_texts_that_no_template_wrote_stay_plain():
    assert type(joined(["a", "b"])) is str
    assert [*own_runs("ab")] == []


def test_runs_are_as_long_as_they_can_be():
    assert [*own_runs(written("ab") + written("c") + "d" + written("e"))] == [(0, 3), (4, 5)]


def test_other_operations_count_as_the_requests_text():
    text = written("<s>%s")

    assert [*own_runs(text % "a")] == []
    assert [*own_runs(text.center(20))] == []
    assert [*own_runs(written("<s>{}").format("a"))] == []
