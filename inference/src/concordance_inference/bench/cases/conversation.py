"""A growing conversation: prompt tokens that the prefix cache does not save."""

from collections.abc import Iterator

from concordance_inference.bench import drive
from concordance_inference.bench.drive import Subject, request
from concordance_inference.bench.figures import Effort, Figure

_TURNS = 10
_QUESTION = 40  # tokens of a question
_REPLY = 24  # tokens of a completion, all of them in the next prompt
_SLACK = 16  # tokens that a turn may prefill beyond the new ones


def figures(subject: Subject, effort: Effort) -> Iterator[Figure]:
    """Count the tokens that turn 10 prefills, with reasoning kept and dropped, and the new ones."""
    del effort
    for dropped, what in ((0, ""), (_REPLY // 2, ", reasoning dropped")):
        num_prefilled, num_new = _last_turn(subject, dropped)
        yield Figure(
            name=f"turn {_TURNS} of a conversation{what}: tokens prefilled, against new ones",
            model=subject.name,
            value=num_prefilled,
            unit="tokens",
            baseline=num_new,
            ratio=(num_prefilled - _SLACK) / num_new,
            target=1.02,
            at_most=True,
        )


def _last_turn(subject: Subject, dropped: int) -> tuple[int, int]:
    """Count the prompt tokens of the last turn that are prefilled, and those that are new.

    Args:
        subject: The model.
        dropped: First tokens of each completion that the next prompt leaves out.
    """
    engine = subject.engine(prefix_bytes=None)
    prompt = subject.prompt(200)
    num_new = 0
    for turn in range(_TURNS):
        (completed,) = drive.run(engine, request(prompt, _REPLY))
        if turn == _TURNS - 1:
            return len(prompt) - completed.cached_tokens, num_new
        kept = list(completed.token_ids[dropped:])
        prompt = [*prompt, *kept, *subject.prompt(_QUESTION, seed=turn)]
        # The last token of a completion is never processed, so that the next turn prefills it.
        num_new = _QUESTION + 1 if not dropped else _QUESTION + len(kept)
    raise AssertionError("unreachable")
