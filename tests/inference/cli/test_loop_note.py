"""The note about a completion that ended in a loop."""

import pytest
from concordance_inference.cli.loop_note import loop_noted
from concordance_inference.loop_detection import FoundLoop
from fake_engine import says


def noted(*loops):
    lines = []
    updates = says("ab", loops=loops)
    with loop_noted(updates, lines.append) as passed:
        assert list(passed) == updates
    return lines


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"period": 1}, "from token 7 on, one token repeats; --loop-action rewind continues"),
        ({"period": 3}, "from token 7 on, 3 tokens repeat; --loop-action rewind continues"),
        ({"period": 3, "tries": 8}, "from token 7 on, 3 tokens repeat"),
    ],
)
def test_note_names_where_the_loop_began_and_what_repeats(fields, words):
    [line] = noted(FoundLoop(begin=7, repeats=99, outcome="ended", **fields))
    assert line.startswith(f"concordance: note: the completion ended in a loop: {words}")


def test_completion_that_left_its_loop_has_no_note():
    assert noted() == noted(FoundLoop(begin=7, period=1, repeats=99, outcome="rewound")) == []
