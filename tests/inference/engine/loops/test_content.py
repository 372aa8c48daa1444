"""Which tokens of a completion are content."""

from concordance_inference.engine.loops.content import MAX_HEADER, ContentFilter
from concordance_inference.engine.loops.detector import BREAK

START, CHANNEL, MESSAGE, END = 90, 91, 92, 93
CONTROL, OPENING = {START, CHANNEL, MESSAGE, END}, {START, CHANNEL}


def content(token_ids, prompt_ids=()):
    content = ContentFilter(CONTROL, OPENING, prompt_ids)
    return [content.add(token_id) for token_id in token_ids]


def test_control_tokens_are_not_content():
    assert content([1, END, 2]) == [1, BREAK, 2]


def test_header_is_not_content():
    assert content([CHANNEL, 7, MESSAGE, 7, END, START, 8, CHANNEL, 7, MESSAGE, 9]) == [
        *[BREAK] * 3,
        7,
        *[BREAK] * 6,
        9,
    ]


def test_completion_begins_in_a_header_that_the_prompt_opened():
    assert content([CHANNEL, 7, MESSAGE, 7], [END, START, 8])[:3] == [BREAK] * 3
    assert content([7, MESSAGE, 7], [START, 8, CHANNEL]) == [BREAK, BREAK, 7]
    assert content([7], [START, 8, MESSAGE, 9]) == [7]


def test_header_without_an_end_is_content_from_its_limit_on():
    ids = content([CHANNEL, *[7] * 100])
    assert ids.index(7) == MAX_HEADER


def test_cut_within_a_header_continues_it():
    filtered = ContentFilter(CONTROL, OPENING)
    for token_id in [1, CHANNEL, 7, MESSAGE, 5]:
        filtered.add(token_id)
    filtered.cut(3)
    assert [filtered.add(token_id) for token_id in [7, MESSAGE, 7]] == [BREAK, BREAK, 7]
