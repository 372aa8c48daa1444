"""The result of `play` as updates."""

from concordance_inference.cli.edit_log import EditLog
from concordance_inference.cli.played_updates import played_updates
from concordance_inference.cli.transcript import marked
from concordance_inference.generation import Completed, TokensDelta
from concordance_inference.trace import TokenTrace
from concordance_sdk import Added, mod
from concordance_sdk.testing import play


@mod(on=[Added], registered=False)
def fix(event, actions, tokenizer):
    if event.step == 2 and not event.forced:
        return actions.backtrack(1, tokenizer.encode("é!"))


def test_changes_and_the_end_are_those_of_a_request():
    trace, log = TokenTrace(), EditLog()
    *deltas, end = played_updates(play(fix, says="abcd"))
    for delta in deltas:
        assert isinstance(delta, TokensDelta)
        trace.apply(delta)
        log.apply(delta)

    assert marked(trace) == "ab[-c-]{+é!+}d"
    assert log.lines[:3] == [
        "sampled 0 'abc'",
        "backtracked 1, to 2, by fix",
        "forced 2 'é!', by fix",
    ]
    assert isinstance(end, Completed)
    assert (end.text, end.forced_tokens, end.backtracked_tokens) == ("abé!d", 3, 1)


def test_backtrack_as_the_last_edit_is_seen():
    @mod(registered=False)
    class Ends:
        def added(self, event, actions):
            return actions.backtrack(1, [256]) if event.step == 1 else None

    trace = TokenTrace()
    *deltas, _ = played_updates(play(Ends, says="ab"))
    for delta in deltas:
        trace.apply(delta)

    assert marked(trace) == "a[-b-]"
