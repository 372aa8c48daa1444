"""Words made likelier or less likely, token by token."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from concordance_sdk.tokenizer import Tokenizer


class WordBias:
    """What to add to the scores of the next token, so that words become likelier, or less likely.

    A word is looked for as it is written and capitalised, each with a space in front and without.
    To make it likelier, its first token is helped, and once it was begun, the token that goes on
    with it. To make it less likely, only the token that would complete it is held back, so that
    words that begin the same are not.

    Examples:
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
        self._begun_by: dict[int, list[_Begun]] | None = None  # by the token said last
        self._begins: dict[int, bool] = {}  # first tokens of words, and whether they complete one

    def after(self, token_ids: Sequence[int], tokenizer: Tokenizer) -> dict[int, float]:
        """What to add to the score of each token behind these.

        Args:
            token_ids: The completion so far.
            tokenizer: The model's.

        Returns:
            Token id -> what is added, as `actions.adjust_logits(bias=...)` takes it.
        """
        if self._begun_by is None:
            self._begun_by = self._spelled(tokenizer)
        begun = self._begun_by.get(token_ids[-1], ()) if token_ids else ()
        goes_on = {
            begin.goes_on: begin.completes
            for begin in begun
            if tuple(token_ids[-len(begin.said) :]) == begin.said
        }
        if self._strength > 0:
            helped = sorted(goes_on or self._begins)
        else:
            completes = {**self._begins, **goes_on}
            helped = sorted(token_id for token_id in completes if completes[token_id])
        return dict.fromkeys(helped, self._strength)

    def _spelled(self, tokenizer: Tokenizer) -> dict[int, list["_Begun"]]:
        """Every begin of every spelling, by its last token."""
        begun_by: dict[int, list[_Begun]] = {}
        for spelling in dict.fromkeys(self._spellings()):
            token_ids = tuple(tokenizer.encode(spelling))
            if token_ids:
                is_one = len(token_ids) == 1
                self._begins[token_ids[0]] = is_one or self._begins.get(token_ids[0], False)
            for said in range(1, len(token_ids)):
                begin = _Begun(token_ids[:said], token_ids[said], said == len(token_ids) - 1)
                begun_by.setdefault(token_ids[said - 1], []).append(begin)
        return begun_by

    def _spellings(self) -> Iterator[str]:
        for word in self._words:
            for written in (word, word[:1].upper() + word[1:]):
                yield written
                yield f" {written}"


class _Begun(Struct, frozen=True):
    """A begin of a word that was said, and the token that goes on with it."""

    said: tuple[int, ...]
    goes_on: int
    completes: bool  # whether that token completes the word
