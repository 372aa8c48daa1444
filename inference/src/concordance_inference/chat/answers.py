"""The tokens of answers as they were sampled, for prompts that come back with them as text.

A tokenizer cuts a text in one way, a model may have sampled another. A conversation's next prompt
has the answer as text; cut anew it would differ from what was read, and all behind the difference
would be read again. So an answer's own tokens are kept, and put in its place where the same answer
stands behind the same prompt.
"""

from collections import OrderedDict
from collections.abc import Sequence

#: So many answers are kept; those that were not asked for the longest go first.
MAX_ANSWERS = 4096


class AnswerMemory:
    """Answers by the prompt before them and their text."""

    def __init__(self, max_answers: int = MAX_ANSWERS) -> None:
        """Begin empty."""
        self._max_answers = max_answers
        self._answers: OrderedDict[tuple[int, int, str], tuple[int, ...]] = OrderedDict()

    def remember(self, prompt: str, answer: str, token_ids: Sequence[int]) -> None:
        """Keep the tokens of an answer.

        Args:
            prompt: The prompt's text.
            answer: The answer's text.
            token_ids: The same as it was sampled, without what ended it.
        """
        key = _key(prompt, answer)
        self._answers[key] = tuple(token_ids)
        self._answers.move_to_end(key)
        if len(self._answers) > self._max_answers:
            self._answers.popitem(last=False)

    def recall(self, prompt: str, answer: str) -> tuple[int, ...] | None:
        """The tokens of an answer behind a prompt, if they are kept."""
        key = _key(prompt, answer)
        if key in self._answers:
            self._answers.move_to_end(key)
        return self._answers.get(key)


def _key(prompt: str, answer: str) -> tuple[int, int, str]:
    return len(prompt), hash(prompt), answer
