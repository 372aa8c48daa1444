"""The channels of models that reason between two tags."""

import random

import pytest
from concordance_sdk.channels import TagFormat
from concordance_sdk.testing import ByteTokenizer, tag_channels

TAGS = [("<think>", "</think>"), ("[T]", "[/T]")]


def format_of(pieces, **options):
    """A format over a vocabulary of pieces of text."""
    return TagFormat(
        TAGS, token_bytes=lambda i: pieces[i].encode(), encode=lambda text: [text], **options
    )


def states(text_pieces, **options):
    tags = format_of(text_pieces, **options)
    state, seen = tags.opened, []
    for i in range(len(text_pieces)):
        state = tags.after(state, i)
        seen.append(state)
    return tags, seen


def channels_of(pieces, **options):
    tags, seen = states(pieces, **options)
    return [tags.place(state).channel for state in seen]


def test_channel_is_undecided_while_the_text_may_be_an_opening_tag():
    assert channels_of([" ", "<th", "ink>", "a", "</think", ">", "b"]) == [
        None, None, "analysis", "analysis", "analysis", "final", "final",
    ]  # fmt: skip


def test_text_that_begins_with_no_tag_is_content_from_its_first_token():
    tags, seen = states(["\n", "<th", "at"])

    assert tags.place(seen[-1]).channel == "final"
    assert tags.lead(seen[-1]) == 3


def test_reasoning_that_the_prompt_opened_begins_at_once():
    assert channels_of(["a", "[/T]"], opened=TAGS[1]) == ["analysis", "final"]


def test_content_in_the_token_that_closes_the_reasoning_is_its_rest():
    tags, seen = states(["<think>", "a", "</think>Hi"])

    assert tags.rest(seen[-1]) == b"Hi"
    assert tags.place(seen[-1]).channel == "final"


def test_ordinary_tokens_do_not_change_the_state():
    tags, seen = states(["<think>", "a", "b", "</think>", "c"])

    assert seen[0] is seen[1] is seen[2]
    assert seen[3] is seen[4]
    assert tags.watched(seen[4]) == frozenset()


@pytest.mark.parametrize(
    ("pieces", "num_mark"),
    [
        (["<think>", "a", "</think>"], 1),
        (["<think>", "a", "<", "/think", ">"], 3),
        (["<think>", "a<", "/think>"], 1),
        (["<think>", "a</think>"], 0),
        (["<think>", "<", "</think>"], 1),
    ],
)
def test_tokens_of_the_closing_tag_are_counted_from_the_first_that_begins_in_it(pieces, num_mark):
    tags, seen = states(pieces)

    assert tags.num_mark(seen[-1]) == num_mark


def test_final_is_opened_by_what_the_closing_tag_lacks():
    tags, seen = states(["<think>", "a", "</thi"])

    assert tags.to_final(seen[1]) == ["</think>"]
    assert tags.to_final(seen[2]) == ["nk>"]
    assert tags.to_final(tags.opened) == ["<think></think>"]


@pytest.mark.parametrize("seed", range(20))
def test_channel_of_random_texts_is_that_of_the_whole_text(seed):
    dice = random.Random(seed)
    tokenizer, tags = ByteTokenizer(), tag_channels("<a>", "</a>")
    text = "".join(dice.choice(["<a>", "</a>", "<", "a", ">", "/", " "]) for _ in range(12))

    state = tags.opened
    for i, token_id in enumerate(tokenizer.encode(text), 1):
        state = tags.after(state, token_id)
        assert tags.place(state).channel == naive_channel(text[:i])


def naive_channel(text):
    start = text.lstrip()
    if start.startswith("<a>"):
        return "final" if "</a>" in start else "analysis"
    return None if "<a>".startswith(start) else "final"
