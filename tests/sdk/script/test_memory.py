"""Memory of a script in a long request."""

import gc
from collections import Counter

import pytest
from concordance_sdk import mod
from concordance_sdk.constraints import ChoicesStrat
from concordance_sdk.holds import Hold
from concordance_sdk.script import Mark, Step, Text
from concordance_sdk.testing import play
from concordance_sdk.text import PhraseWatch, SentenceCount


def num_objects():
    """The number of objects that belong to steps, and their kinds."""
    gc.collect()
    alive = gc.get_objects()
    kinds = Counter(
        kind.__name__
        for each in alive
        for kind in (Step, Mark, Text, Hold, PhraseWatch, SentenceCount)
        if isinstance(each, kind)
    )
    return kinds.total(), dict(kinds)


def loop(step, num_steps):
    """Play a script that makes a step many times; return the objects near its begin and its end."""
    counts = []

    @mod
    def script(run):
        for i in range(num_steps):
            if i in (10, num_steps - 1):
                counts.append(num_objects())
            yield from step(run)

    play(script, says=lambda completion: 98, max_tokens=num_steps + 40)
    return counts


def generates(run):
    yield run.generate("#", sentences=9, tokens=1, ban=["zz"], bias={"a": 1.0}, logprobs=True)


def marks(run):
    start = run.mark()
    yield run.generate(tokens=1)
    assert start.is_intact


def asks(run):
    yield run.generate(tokens=1)
    yield run.ask("?", ChoicesStrat(["b", "c"]))


@pytest.mark.parametrize(
    ("step", "num_steps"),
    [pytest.param(generates, 10_000, marks=pytest.mark.slow), (marks, 3000), (asks, 1000)],
)
def test_steps_leave_no_objects_behind(step, num_steps):
    (early, kinds_early), (late, kinds_late) = loop(step, num_steps)

    assert late <= early + 3, (kinds_early, kinds_late)
