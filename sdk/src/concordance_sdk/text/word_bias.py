"""Words made likelier or less likely, token by token."""

from collections.abc import Iterator, Sequence

from concordance_sdk.tokenizer import Tokenizer


class WordBias:
    """What to add to the scores of the next token, so that words become likelier, or less likely.

    A word is looked for as it is written and capitalised, each with a space in front and without.
    To make it likelier, its first token is helped, and once it was begun, the token that goes on
    with it. To make it less likely, only the token that would complete it is held back, so that
    words that begin the same are not.

    Example:
        >>> from concordance_sdk.testing import ByteTokenizer
        >>> towards = WordBias(["ab"], strength=2.0)
        >>> towards.after([], ByteTokenizer())  # "a", "A" and the space before either
        {32: 2.0, 65: 2.0, 97: 2.0}
        >>> WordBias(["ab"], strength=-2.0).after([*b"xa"], ByteTokenizer())
        {98: -2.0}
    """

    def __init__(self, words: Sequence[str], *, strength: float) -> None:
        """Steer towards words, or away from them.

        Args:
            words: The words or phrases, at least one.
            strength: What is added to the score of a token, in nats: it becomes `exp(strength)`
                times as likely, against every other token. Negative: steer away.

        Raises:
            ValueError: There is no word, or an empty one.
        """
        if not words or not all(words):
            raise ValueError(f"steer by at least one word, and by none that is empty: {words!r}")
        self._words = tuple(words)
        self._strength = strength
        self._spellings: tuple[tuple[int, ...], ...] = ()

    def after(self, token_ids: Sequence[int], tokenizer: Tokenizer) -> dict[int, float]:
        """What to add to the score of each token behind these.

        Args:
            token_ids: The completion so far.
            tokenizer: The model's.

        Returns:
            Token id -> what is added, as `actions.adjust_logits(bias=...)` takes it.
        """
        self._spellings = self._spellings or tuple(self._spelled(tokenizer))
        matches = [
            (spelling, said)
            for spelling in self._spellings
            for said in range(len(spelling))
            if not said or tuple(token_ids[-said:]) == spelling[:said]
        ]
        if self._strength > 0:
            begun = [match for match in matches if match[1]]
            helped = {spelling[said] for spelling, said in begun or matches}
        else:
            helped = {spelling[said] for spelling, said in matches if said == len(spelling) - 1}
        return dict.fromkeys(sorted(helped), self._strength)

    def _spelled(self, tokenizer: Tokenizer) -> Iterator[tuple[int, ...]]:
        """The tokens of each spelling of each word."""
        spellings = (
            lead + spelling
            for word in self._words
            for spelling in dict.fromkeys((word, word[:1].upper() + word[1:]))
            for lead in ("", " ")
        )
        for spelling in dict.fromkeys(spellings):
            token_ids = tuple(tokenizer.encode(spelling))
            if token_ids:
                yield token_ids
