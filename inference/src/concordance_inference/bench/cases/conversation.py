"""A conversation that grows: what of each prompt has to be read."""

from collections.abc import Iterator

from concordance_inference.bench import drive
from concordance_inference.bench.drive import Subject, request
from concordance_inference.bench.effort import Effort
from concordance_inference.bench.figures import Figure

_TURNS = 10
_QUESTION = 40  # tokens of a question
_ANSWER = 24  # tokens of an answer, of which the next prompt has all
_SLACK = 16  # tokens that a turn may read beyond what is new


def figures(subject: Subject, effort: Effort) -> Iterator[Figure]:
    """Tokens that turn 10 reads against those that are new, with and without reasoning dropped."""
    del effort
    for dropped, what in ((0, ""), (_ANSWER // 2, ", reasoning dropped")):
        num_read, num_new = _last_turn(subject, dropped)
        yield Figure(
            name=f"turn {_TURNS} of a conversation{what}: tokens read, against new ones",
            model=subject.name,
            value=num_read,
            unit="tokens",
            baseline=num_new,
            ratio=(num_read - _SLACK) / num_new,
            wanted=1.02,
            at_most=True,
        )


def _last_turn(subject: Subject, dropped: int) -> tuple[int, int]:
    """How many tokens of the last turn's prompt were read, and how many are new.

    Args:
        subject: The model.
        dropped: So many tokens at the begin of each answer are not in the next prompt.
    """
    engine = subject.engine(prefix_bytes=None)
    prompt = subject.prompt(200)
    num_new = 0
    for turn in range(_TURNS):
        (answer,) = drive.run(engine, request(prompt, _ANSWER))
        if turn == _TURNS - 1:
            return len(prompt) - answer.cached_tokens, num_new
        kept = list(answer.token_ids[dropped:])
        prompt = [*prompt, *kept, *subject.prompt(_QUESTION, seed=turn)]
        # The last token of an answer was not read when it ended.
        num_new = _QUESTION + 1 if not dropped else _QUESTION + len(kept)
    raise AssertionError("unreachable")
